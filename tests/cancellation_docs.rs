//! Holds the documentation complete: whatever blocks tells, in a section of its own or of its type,
//! what a cancel does to it. It reads the sources as text and runs no green thread.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Calls inside the crate that park, or look for a cancel. A function that makes one blocks, and so
/// does each of its file that calls that function.
const DOORS: &[&str] = &[
    ".accept()",
    ".join()",
    ".park(",
    ".park_until(",
    ".spawn_in(",
    ".take_place(",
    ".read_bytes(",
    ".read_with(",
    ".recv()",
    ".resume(",
    ".transfer(",
    ".wait_for_all(",
    ".wait_for_end(",
    ".wait_for_place(",
    ".when_readable(",
    ".when_writable(",
    ".write_bytes(",
    ".write_with(",
    "DirBuilder::new()",
    "File::create(",
    "File::open(",
    "Limit::After",
    "Limit::At",
    "Limit::None",
    "body::run(",
    "check_cancel()",
    "first_success(",
    "offload(",
    "offload_shielded(",
    "on_path(",
    "on_paths(",
    "thread::sleep(",
    "unix::symlink(",
    "wait_until(",
    "yield_now(",
    "yield_plain(",
];

/// First words of names by which std and greenlit call what blocks: such a function may reach a door
/// in another file.
const BLOCKING_WORDS: &[&str] = &[
    "accept",
    "acquire",
    "changed",
    "checkpoint",
    "connect",
    "join",
    "lock",
    "park",
    "peek",
    "race",
    "recv",
    "send",
    "sleep",
    "tick",
    "timeout",
    "wait",
    "yield",
];

/// Last words of names that say the same.
const BLOCKING_ENDS: &[&str] = &["_deadline", "_timeout"];

/// Methods of std's traits that block, whatever they are made of.
const OF_STREAMS: &[&str] = &[
    "read",
    "read_vectored",
    "write",
    "write_vectored",
    "fill_buf",
];

/// Functions that have such a name or make such a call and need no section: the file, the name, and
/// why.
const EXEMPT: &[(&str, &str, &str)] = &[
    ("src/coroutine/generator.rs", "yield_", SUSPENDS),
    ("src/coroutine/symmetric/mod.rs", "yield_to", SUSPENDS),
    ("src/event_loop/ready.rs", "add_reader", NO_WAIT),
    ("src/event_loop/ready.rs", "add_writer", NO_WAIT),
    ("src/future/coroutine.rs", "poll", SUSPENDS),
    ("src/future/promise.rs", "add_done_callback", NO_WAIT),
    ("src/net/socket.rs", "read_timeout", OPTION),
    ("src/net/socket.rs", "write_timeout", OPTION),
    ("src/net/udp_options.rs", "join_multicast_v4", OPTION),
    ("src/net/udp_options.rs", "join_multicast_v6", OPTION),
    ("src/net/unix/datagram.rs", "connect", OPTION),
    ("src/net/unix/datagram.rs", "connect_addr", OPTION),
    ("src/sync/broadcast/mod.rs", "send", NO_WAIT),
    ("src/sync/oneshot.rs", "send", NO_WAIT),
    ("src/sync/select/conditions.rs", "after", ARM),
    ("src/sync/select/conditions.rs", "at", ARM),
    ("src/sync/select/conditions.rs", "join", ARM),
    ("src/sync/select/mod.rs", "try_wait", NO_WAIT),
    ("src/sync/watch/mod.rs", "send", NO_WAIT),
    ("src/sync/watch/mod.rs", "send_if_modified", NO_WAIT),
    ("src/sync/watch/mod.rs", "send_modify", NO_WAIT),
    ("src/sync/watch/mod.rs", "send_replace", NO_WAIT),
];
const SUSPENDS: &str =
    "it leaves the coroutine, not the green thread: a cancel comes at the next call that blocks";
const OPTION: &str = "the kernel only notes it";
const NO_WAIT: &str = "nothing is waited for";
const ARM: &str = "it makes an arm, for a `select` that blocks";

/// Macros that block.
const MACROS: &[&str] = &["eprint", "eprintln", "print", "println", "select"];

#[test]
fn what_blocks_says_what_a_cancel_does() {
    let files: Vec<_> = sources(Path::new("src"))
        .into_iter()
        .map(|path| {
            (
                path.display().to_string(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect();
    let faults = faults_of(&files, EXEMPT);
    assert!(faults.is_empty(), "\n{}", faults.join("\n"));
}

/// The check is seen to fail: each of these sources is wrong in one way.
#[test]
fn the_check_sees_what_is_silent() {
    let section = "/// # Cancellation\n///\n/// It unwinds.\n";
    let said = format!("{section}pub fn recv() {{\n    core.park(1);\n}}\n");
    let through = |docs: &str| {
        format!("{docs}pub fn get() {{\n    inner()\n}}\nfn inner() {{\n    core.park(1);\n}}\n")
    };
    let method = |docs: &str| {
        format!(
            "{docs}pub struct A;\nimpl A {{\n    pub fn get(&self) {{\n        self.b.park(1);\n    }}\n}}\n"
        )
    };
    let implements = |docs: &str| {
        format!(
            "{docs}pub struct A;\nimpl Read for &A {{\n    fn read(&self) {{\n        self.b.read_bytes(1);\n    }}\n}}\n"
        )
    };
    for right in [said, through(section), method(section), implements(section)] {
        assert_eq!(faults_in(&right, &[]), [""; 0], "{right}");
    }
    for wrong in [
        "pub fn recv() {\n    other();\n}\n".into(),
        "/// Waits.\npub fn get() {\n    core.park(1);\n}\n".into(),
        "/// # Cancellation\n///\n/// # Examples\npub fn recv() {}\n".into(),
        "pub fn get_timeout() {\n    other();\n}\n".into(),
        "/// Chooses.\n#[macro_export]\nmacro_rules! select {\n}\n".into(),
        through(""),
        method(""),
        implements(""),
    ] {
        assert_eq!(faults_in(&wrong, &[]).len(), 1, "{wrong}");
    }
    let silent = "pub fn recv() {\n    other();\n}\n";
    let reason = "it is a fake";
    assert_eq!(faults_in(silent, &[("a.rs", "recv", reason)]), [""; 0]);
    // One that is exempt for no reason any more.
    let quiet = "pub fn get() {\n    other();\n}\n";
    assert_eq!(faults_in(quiet, &[("a.rs", "get", reason)]).len(), 1);
}

fn faults_in(text: &str, exempt: &[(&str, &str, &str)]) -> Vec<String> {
    faults_of(&[("a.rs".into(), text.into())], exempt)
}

/// What the sources do not say. `exempt` has the file, the name and the reason.
fn faults_of(files: &[(String, String)], exempt: &[(&str, &str, &str)]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut unused: BTreeSet<_> = exempt.iter().map(|&(file, name, _)| (file, name)).collect();
    let types = types(files);
    for (file, text) in files {
        let functions = functions(text);
        let blocking = blocking(&functions);
        for (at, function) in functions.iter().enumerate() {
            // A type that is declared nowhere is the one that a macro of the file declares.
            let owner = function.owner.as_deref();
            let declared = owner
                .and_then(|owner| types.get(owner))
                .or_else(|| types.get(format!("{file}: $name").as_str()));
            let (is_of_public_type, type_says) = (declared.is_some(), declared == Some(&true));
            let name = function.name.as_str();
            let is_shown = match function.is_of_trait {
                true => is_of_public_type && name != "drop",
                false => function.is_public,
            };
            let is_named_so = match function.is_of_trait {
                true => OF_STREAMS.contains(&name),
                false => is_blocking_name(name),
            };
            let is_silent = !function.says && !type_says;
            if !is_shown || !is_silent || !(blocking.contains(&at) || is_named_so) {
                continue;
            }
            let row = exempt.iter().find(|row| (row.0, row.1) == (file, name));
            if let Some(&(file, name, _)) = row {
                unused.remove(&(file, name));
                continue;
            }
            let line = function.line;
            faults.push(format!("{file}:{line}: {name} blocks, and has no section"));
        }
        faults.extend(macros_without(file, text));
    }
    faults.extend(
        unused
            .iter()
            .map(|(file, name)| format!("{file}: {name} needs no exemption")),
    );
    faults
}

/// A function as it stands in a source.
struct Function {
    name: String,
    line: usize,
    is_public: bool,
    /// The type whose `impl` it is in.
    owner: Option<String>,
    /// Whether that `impl` is of a trait: then the type's documentation speaks for it.
    is_of_trait: bool,
    /// Whether its documentation has a section on cancellation.
    says: bool,
    body: String,
}

fn functions(text: &str) -> Vec<Function> {
    let lines: Vec<_> = text
        .lines()
        .take_while(|line| !line.starts_with("mod tests {"))
        .collect();
    let mut functions = Vec::new();
    let mut block: Option<(usize, String, bool)> = None;
    for (at, line) in lines.iter().enumerate() {
        let indent = line.len() - line.trim_start().len();
        let code = line.trim_start();
        if block
            .as_ref()
            .is_some_and(|(outer, ..)| *outer == indent && code.starts_with('}'))
        {
            block = None;
        }
        if code.starts_with("impl") && !code.ends_with('}') {
            let header = lines[at..]
                .iter()
                .take_while(|line| !line.trim().is_empty());
            let header: String = header.map(|line| format!(" {}", line.trim())).collect();
            block = impl_of(&header).map(|(owner, of_trait)| (indent, owner, of_trait));
        }
        let Some(name) = function_name(code) else {
            continue;
        };
        let end = format!("{}}}", " ".repeat(indent));
        let one_liner = code.ends_with(';') || code.ends_with('}');
        let length = lines[at..]
            .iter()
            .position(|line| *line == end)
            .unwrap_or(0);
        let body = &lines[at + 1..=at + if one_liner { 0 } else { length }];
        functions.push(Function {
            name: name.to_owned(),
            line: at + 1,
            is_public: code.starts_with("pub ") && !docs_above(&lines, at).contains("doc(hidden)"),
            owner: block.as_ref().map(|(_, owner, _)| owner.clone()),
            is_of_trait: block.as_ref().is_some_and(|(_, _, of_trait)| *of_trait),
            says: has_section(&docs_above(&lines, at)),
            body: body.join("\n"),
        });
    }
    functions
}

/// The functions of one file that reach a door, by their places.
fn blocking(functions: &[Function]) -> BTreeSet<usize> {
    let mut found = BTreeSet::new();
    loop {
        let before = found.len();
        for (at, function) in functions.iter().enumerate() {
            let reaches = DOORS.iter().any(|door| function.body.contains(door));
            if reaches
                || found
                    .iter()
                    .any(|&callee| function.calls(&functions[callee]))
            {
                found.insert(at);
            }
        }
        if found.len() == before {
            return found;
        }
    }
}

impl Function {
    /// Whether it calls another one of its file: by its bare name, or as a method of its own.
    fn calls(&self, other: &Function) -> bool {
        let starts: &[&str] = match &other.owner {
            Some(owner) => &["self.", "Self::", &format!("{owner}::")],
            None => &[" ", "(", "|"],
        };
        let call = format!("{}(", other.name);
        let mut calls = self.body.match_indices(&call);
        calls.any(|(at, _)| starts.iter().any(|start| self.body[..at].ends_with(start)))
    }
}

fn is_blocking_name(name: &str) -> bool {
    let first = name.split('_').next().unwrap_or_default();
    let asks_or_sets = ["current", "is", "set", "with"].contains(&first);
    let blocks = BLOCKING_WORDS.contains(&first);
    let is_limited = BLOCKING_ENDS.iter().any(|end| name.ends_with(end));
    !asks_or_sets && !name.ends_with("_arm") && (blocks || is_limited)
}

/// The name that a line declares a function by.
fn function_name(code: &str) -> Option<&str> {
    let start = ["pub ", "pub(crate) ", "pub(super) ", ""]
        .iter()
        .find_map(|visibility| code.strip_prefix(visibility))?;
    let start = start
        .trim_start_matches("const ")
        .trim_start_matches("unsafe ");
    let name = start.strip_prefix("fn ")?;
    name.split(|c: char| !c.is_alphanumeric() && c != '_')
        .next()
}

/// The type that an `impl` is for, and whether it is of a trait.
fn impl_of(header: &str) -> Option<(String, bool)> {
    let header = header.split('{').next()?;
    let header = header.split(" where ").next()?;
    let of_trait = header.contains(" for ");
    let named = header.rsplit(" for ").next()?;
    let named = named.trim().trim_start_matches("impl").trim();
    // Past the parameters of the `impl` itself.
    let named = match (of_trait, named.strip_prefix('<')) {
        (false, Some(rest)) => rest.split_once("> ").map_or(rest, |(_, named)| named),
        _ => named,
    };
    let named = named.trim_start_matches('&');
    let named = named
        .strip_prefix("'_ ")
        .unwrap_or(named)
        .trim_start_matches("mut ");
    let named = named.split('<').next()?.rsplit("::").next()?.trim();
    Some((named.to_owned(), of_trait))
}

/// The public types, and whether their documentation has a section on cancellation.
fn types(files: &[(String, String)]) -> BTreeMap<String, bool> {
    let mut types = BTreeMap::<String, bool>::new();
    for (file, text) in files {
        let lines: Vec<_> = text.lines().collect();
        for (at, line) in lines.iter().enumerate() {
            let declared = ["pub struct ", "pub enum "]
                .iter()
                .find_map(|start| line.trim_start().strip_prefix(start));
            let Some(declared) = declared else { continue };
            let is_end = |c: char| !c.is_alphanumeric() && c != '_' && c != '$';
            let name = match declared.split(is_end).next().unwrap_or_default() {
                "$name" => format!("{file}: $name"),
                name => name.to_owned(),
            };
            let says = has_section(&docs_above(&lines, at));
            // Types of one name speak for each other only if all of them speak.
            types
                .entry(name)
                .and_modify(|all| *all &= says)
                .or_insert(says);
        }
    }
    types
}

fn macros_without(file: &str, text: &str) -> Vec<String> {
    let lines: Vec<_> = text.lines().collect();
    let mut faults = Vec::new();
    for (at, line) in lines.iter().enumerate() {
        let name = line
            .strip_prefix("macro_rules! ")
            .and_then(|rest| rest.split(' ').next());
        if let Some(name) = name.filter(|name| MACROS.contains(name))
            && !has_section(&docs_above(&lines, at))
        {
            faults.push(format!(
                "{file}:{}: {name}! blocks, and has no section",
                at + 1
            ));
        }
    }
    faults
}

/// The documentation and attributes above a line.
fn docs_above(lines: &[&str], at: usize) -> String {
    let mut first = at;
    while first > 0 {
        let above = lines[first - 1].trim_start();
        if above.starts_with("///") || above.starts_with("#[") {
            first -= 1;
        } else if above == ")]" {
            let opens = |line: &&str| line.trim_start().starts_with("#[");
            first = lines[..first].iter().rposition(opens).unwrap_or(0);
        } else {
            break;
        }
    }
    lines[first..at].join("\n")
}

/// Whether the section is there and says something.
fn has_section(docs: &str) -> bool {
    let Some((_, section)) = docs.split_once("/// # Cancellation\n") else {
        return false;
    };
    let text = section
        .lines()
        .map(|line| line.trim_start().trim_start_matches("///").trim());
    text.take_while(|line| !line.starts_with("# "))
        .any(|line| !line.is_empty())
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found.sort();
    found
}
