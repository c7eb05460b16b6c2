//! What a process reports on stderr, with the numbers of green threads and the places in the test's own
//! file made equal, so that a text can be compared as a whole.

use std::process::Output;

/// What the child wrote to stderr: `#N` for each green thread's number, and `L:C` for each line and
/// column in `file`.
pub(crate) fn stderr(child: &Output, file: &str) -> String {
    made_equal(&String::from_utf8_lossy(&child.stderr), file)
}

/// The same for a text that came from elsewhere.
pub(crate) fn made_equal(text: &str, file: &str) -> String {
    let text = replace_digits(text, "#", "N");
    replace_digits(&text, &format!("{file}:"), "L:C")
}

/// Puts `sign` in the place of the digits, with the colons between them, that follow each `mark`.
fn replace_digits(text: &str, mark: &str, sign: &str) -> String {
    let mut parts = text.split(mark);
    let mut result = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part.find(|c: char| !c.is_ascii_digit() && c != ':');
        let number = part[..end.unwrap_or(part.len())].trim_end_matches(':');
        let sign = if number.is_empty() { "" } else { sign };
        result += &format!("{mark}{sign}{}", &part[number.len()..]);
    }
    result
}
