//! The redis crate's connection over any stream: what a program adds so that the crate's commands,
//! pipelines and transactions park green threads instead of blocking the OS thread.

use redis::{ConnectionLike, ErrorKind, Msg, Parser, RedisError, RedisResult, Value};
use std::io::{Read, Write};

/// One connection to a server. The crate's `Commands`, `Cmd::query`, `Pipeline::query` and
/// `transaction` work on it.
pub(crate) struct Connection<S> {
    pub(crate) stream: S,
    parser: Parser,
    /// False once an answer was lost.
    is_open: bool,
}

impl<S: Read + Write> Connection<S> {
    pub(crate) fn new(stream: S) -> Connection<S> {
        Connection {
            stream,
            parser: Parser::new(),
            is_open: true,
        }
    }

    /// Sends a command whose answer is not waited for here.
    pub(crate) fn send(&mut self, command: &[u8]) -> RedisResult<()> {
        let sent = self.stream.write_all(command);
        self.is_open &= sent.is_ok();
        Ok(sent?)
    }

    /// The next answer, an error of the server's included.
    pub(crate) fn receive(&mut self) -> RedisResult<Value> {
        let value = self.parser.parse_value(&mut self.stream);
        self.is_open &= value.is_ok();
        value
    }

    /// The next message of a channel that this connection has subscribed to.
    pub(crate) fn message(&mut self) -> RedisResult<Msg> {
        loop {
            // Answers to `SUBSCRIBE` come the same way.
            if let Some(message) = Msg::from_owned_value(self.receive()?) {
                return Ok(message);
            }
        }
    }
}

impl<S: Read + Write> ConnectionLike for Connection<S> {
    fn req_packed_command(&mut self, command: &[u8]) -> RedisResult<Value> {
        self.send(command)?;
        self.receive()
    }

    fn req_packed_commands(
        &mut self,
        commands: &[u8],
        offset: usize,
        count: usize,
    ) -> RedisResult<Vec<Value>> {
        self.send(commands)?;
        // All answers are taken, so that the next command gets its own. The first `offset` of them
        // only say whether a transaction's commands were queued.
        let answers: Vec<_> = (0..offset + count)
            .map(|_| self.receive())
            .collect::<RedisResult<_>>()?;
        let (queued, answers) = answers.split_at(offset);
        if queued
            .iter()
            .any(|value| matches!(value, Value::ServerError(_)))
        {
            let refused = (ErrorKind::Client, "a command of a transaction was refused");
            return Err(RedisError::from(refused));
        }
        Ok(answers.to_vec())
    }

    fn get_db(&self) -> i64 {
        0
    }

    fn check_connection(&mut self) -> bool {
        redis::cmd("PING").exec(self).is_ok()
    }

    fn is_open(&self) -> bool {
        self.is_open
    }
}
