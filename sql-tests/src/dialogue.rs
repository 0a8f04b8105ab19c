//! Dialogues on the wire, message by message, as text files.
//!
//! A file holds dialogues, each on a connection of its own and begun by `== title`; `[dataman]` in the title says that a
//! PostgreSQL would answer otherwise. Lines beginning with `>` are sent, lines beginning with `<` are what must come back,
//! in that order; what is between the last answer and the next thing sent must be nothing. At its end a dialogue sends Sync
//! and wants `Z`, unless the server has closed.
//!
//! ```text
//! > startup key=value …          < R 0 · S name=value · K · Z I
//! > Q select 1                   < T name:type:format, … · D 'a', NULL · C SELECT 1
//! > P name | sql | type, …       < 1
//! > B portal | name | formats | values | result formats    < 2
//! > D S name · > D P portal      < t type, … · T … · n
//! > E portal | rows · > C S name · > H · > S · > X · > ssl · > gss · > cancel · > hex 51 00 …
//! ```

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// How long an answer may take before the dialogue fails.
const ANSWER_TIME: Duration = Duration::from_secs(20);

/// How long to wait for a cancelled statement before it is cancelled again.
const CANCEL_INTERVAL: Duration = Duration::from_millis(50);

/// How long to listen for more when answers are recorded.
const QUIET_TIME: Duration = Duration::from_millis(300);

/// One dialogue.
#[derive(Debug, Clone)]
pub struct Dialogue {
    /// Its title.
    pub title: String,
    /// Whether a PostgreSQL would answer otherwise.
    pub dataman_only: bool,
    /// What is sent, and what must come back after it.
    pub steps: Vec<(Vec<String>, Vec<String>)>,
}

/// Where a dialogue is held.
#[derive(Debug, Clone)]
pub struct Server {
    /// The port on 127.0.0.1.
    pub port: u16,
    /// What `$user` stands for.
    pub user: String,
    /// What `$database` stands for.
    pub database: String,
}

/// Reads a file's dialogues. Comments begin with `#`.
pub fn parse(text: &str) -> Vec<Dialogue> {
    let mut dialogues: Vec<Dialogue> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        if let Some(title) = line.strip_prefix("== ") {
            dialogues.push(Dialogue {
                title: title.to_owned(),
                dataman_only: title.contains("[dataman]"),
                steps: Vec::new(),
            });
        } else if let Some(dialogue) = dialogues.last_mut() {
            let fresh = dialogue.steps.last().is_none_or(|(_, answers)| !answers.is_empty());
            if let Some(sent) = line.strip_prefix("> ") {
                if fresh {
                    dialogue.steps.push((Vec::new(), Vec::new()));
                }
                if let Some((block, _)) = dialogue.steps.last_mut() {
                    block.push(sent.to_owned());
                }
            } else if let Some(answer) = line.strip_prefix("< ")
                && let Some((_, answers)) = dialogue.steps.last_mut()
            {
                answers.push(answer.to_owned());
            }
        }
    }
    dialogues
}

/// Holds a dialogue.
///
/// # Errors
/// Where it went another way, as text.
pub fn hold(dialogue: &Dialogue, server: &Server) -> Result<(), String> {
    let mut line = Line::open(server)?;
    for (block, answers) in &dialogue.steps {
        line.send(block)?;
        for expected in answers {
            let found = line.answer(ANSWER_TIME)?.unwrap_or_else(|| "nothing".to_owned());
            if !matches(expected, &found) {
                return Err(format!(
                    "{}: after {block:?}\n  expected {expected}\n  found    {found}",
                    dialogue.title
                ));
            }
        }
    }
    let last = dialogue.steps.last().and_then(|(_, answers)| answers.last());
    if last.is_some_and(|last| last.starts_with("eof") || last == "byte N") {
        return Ok(());
    }
    line.send(&["S".to_owned()])?;
    match line.answer(ANSWER_TIME)? {
        Some(found) if found.starts_with("Z ") => Ok(()),
        found => Err(format!("{}: after its end there was more: {found:?}", dialogue.title)),
    }
}

/// Holds a dialogue and writes down what comes back.
///
/// # Errors
/// The connection failed.
pub fn record(dialogue: &Dialogue, server: &Server) -> Result<String, String> {
    let mut text = format!("== {}\n", dialogue.title);
    let mut line = Line::open(server)?;
    for (block, _) in &dialogue.steps {
        line.send(block)?;
        for sent in block {
            text.push_str(&format!("> {sent}\n"));
        }
        while let Some(found) = line.answer(QUIET_TIME)? {
            let closed = found == "eof";
            text.push_str(&format!("< {found}\n"));
            if closed {
                break;
            }
        }
    }
    Ok(text)
}

/// An expected line ends with `…` where the rest does not matter.
fn matches(expected: &str, found: &str) -> bool {
    match expected.strip_suffix('…') {
        Some(start) => found.starts_with(start),
        None => expected == found,
    }
}

/// One connection.
struct Line {
    server: Server,
    stream: TcpStream,
    input: Vec<u8>,
    key: (i32, i32),
    closed: bool,
    /// Whether the next answer is one byte without a frame.
    bare: bool,
    /// Whether the statement is to be cancelled until it answers: the first request may come before it has begun.
    cancelling: bool,
}

impl Line {
    fn open(server: &Server) -> Result<Self, String> {
        let stream =
            TcpStream::connect(("127.0.0.1", server.port)).map_err(|error| error.to_string())?;
        Ok(Self {
            server: server.clone(),
            stream,
            input: Vec::new(),
            key: (0, 0),
            closed: false,
            bare: false,
            cancelling: false,
        })
    }

    /// Sends a block with one write, as a pipelining driver does.
    fn send(&mut self, block: &[String]) -> Result<(), String> {
        let mut bytes = Vec::new();
        for sent in block {
            if sent == "cancel" {
                self.cancelling = true;
            } else {
                self.encode(sent, &mut bytes)?;
            }
        }
        // A server that has closed shows itself by what it answers.
        let _ = self.stream.write_all(&bytes);
        Ok(())
    }

    fn encode(&mut self, sent: &str, out: &mut Vec<u8>) -> Result<(), String> {
        let (word, rest) = sent.split_once(' ').unwrap_or((sent, ""));
        let parts: Vec<&str> = rest.split('|').map(str::trim).collect();
        let part = |at: usize| parts.get(at).copied().unwrap_or("");
        let list = |at: usize| -> Vec<&str> {
            part(at).split(',').map(str::trim).filter(|item| !item.is_empty()).collect()
        };
        let mut body = Vec::new();
        let string = |text: &str, body: &mut Vec<u8>| {
            body.extend(text.as_bytes());
            body.push(0);
        };
        let number = |text: &str| text.parse::<i32>().map_err(|error| format!("{text}: {error}"));
        let count = |length: usize| i16::try_from(length).unwrap_or(i16::MAX).to_be_bytes();
        match word {
            "hex" => {
                for byte in rest.split_whitespace() {
                    out.push(u8::from_str_radix(byte, 16).map_err(|error| error.to_string())?);
                }
                return Ok(());
            }
            "ssl" | "gss" => {
                let code = if word == "ssl" { 80_877_103 } else { 80_877_104 };
                out.extend(8i32.to_be_bytes());
                out.extend(i32::to_be_bytes(code));
                self.bare = true;
                return Ok(());
            }
            "startup" => {
                let mut version = 3 << 16;
                for pair in rest.split_whitespace() {
                    let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                    if name == "version" {
                        let (major, minor) = value.split_once('.').unwrap_or((value, "0"));
                        version = number(major)? << 16 | number(minor)?;
                        continue;
                    }
                    string(name, &mut body);
                    let value = value
                        .replace("$user", &self.server.user)
                        .replace("$database", &self.server.database);
                    string(&value, &mut body);
                }
                body.push(0);
                let length = i32::try_from(body.len() + 8).map_err(|error| error.to_string())?;
                out.extend(length.to_be_bytes());
                out.extend(version.to_be_bytes());
                out.extend(body);
                return Ok(());
            }
            "Q" => string(rest, &mut body),
            "P" => {
                string(part(0), &mut body);
                string(part(1), &mut body);
                body.extend(count(list(2).len()));
                for ty in list(2) {
                    body.extend(number(ty)?.to_be_bytes());
                }
            }
            "B" => {
                string(part(0), &mut body);
                string(part(1), &mut body);
                for (at, values) in [(2, false), (3, true), (4, false)] {
                    body.extend(count(list(at).len()));
                    for item in list(at) {
                        if !values {
                            body.extend(count(item.parse().map_err(|_| item.to_owned())?));
                        } else if item == "NULL" {
                            body.extend((-1i32).to_be_bytes());
                        } else {
                            let bytes = match item.strip_prefix("\\x") {
                                Some(hex) => unhex(hex)?,
                                None => item.as_bytes().to_vec(),
                            };
                            let length =
                                i32::try_from(bytes.len()).map_err(|error| error.to_string())?;
                            body.extend(length.to_be_bytes());
                            body.extend(bytes);
                        }
                    }
                }
            }
            "D" | "C" => {
                let (kind, name) = rest.split_once(' ').unwrap_or((rest, ""));
                body.extend(kind.as_bytes());
                string(name, &mut body);
            }
            "E" => {
                string(part(0), &mut body);
                let rows = if part(1).is_empty() { 0 } else { number(part(1))? };
                body.extend(rows.to_be_bytes());
            }
            "d" => body.extend(rest.replace("\\n", "\n").replace("\\t", "\t").as_bytes()),
            "f" => string(rest, &mut body),
            "H" | "S" | "X" | "c" => {}
            other => return Err(format!("nothing is sent as {other}")),
        }
        out.extend(word.as_bytes());
        let length = i32::try_from(body.len() + 4).map_err(|error| error.to_string())?;
        out.extend(length.to_be_bytes());
        out.extend(body);
        Ok(())
    }

    fn cancel(&self) -> Result<(), String> {
        let mut other = TcpStream::connect(("127.0.0.1", self.server.port))
            .map_err(|error| error.to_string())?;
        let mut request = Vec::new();
        for number in [16, 80_877_102, self.key.0, self.key.1] {
            request.extend(number.to_be_bytes());
        }
        other.write_all(&request).map_err(|error| error.to_string())
    }

    /// The next answer as text; none when nothing comes in time; `eof` when the server has closed.
    fn answer(&mut self, time: Duration) -> Result<Option<String>, String> {
        let started = std::time::SystemTime::now();
        loop {
            if self.bare && !self.input.is_empty() {
                self.bare = false;
                return Ok(Some(format!("byte {}", char::from(self.input.remove(0)))));
            }
            if self.input.len() >= 5 {
                let length = u32::from_be_bytes([
                    self.input[1],
                    self.input[2],
                    self.input[3],
                    self.input[4],
                ]) as usize;
                if self.input.len() > length {
                    let frame: Vec<u8> = self.input.drain(..=length).collect();
                    return Ok(Some(self.decode(frame[0], &frame[5..])));
                }
            }
            if self.closed {
                return Ok(Some("eof".to_owned()));
            }
            let wait = if self.cancelling { CANCEL_INTERVAL } else { time };
            self.stream.set_read_timeout(Some(wait)).map_err(|error| error.to_string())?;
            let mut bytes = [0; 8192];
            match self.stream.read(&mut bytes) {
                Ok(0) => self.closed = true,
                Ok(read) => {
                    self.cancelling = false;
                    self.input.extend(&bytes[..read]);
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    if !self.cancelling || started.elapsed().unwrap_or_default() > ANSWER_TIME {
                        return Ok(None);
                    }
                    self.cancel()?;
                }
                Err(_) => self.closed = true,
            }
        }
    }

    fn decode(&mut self, kind: u8, body: &[u8]) -> String {
        let mut body = Fields(body);
        let kind = char::from(kind);
        let text = match kind {
            'R' => {
                let code = body.int32();
                if code == 10 { format!("10 {}", body.string()) } else { code.to_string() }
            }
            'S' => {
                let name = body.string();
                let value = body.string();
                match name.as_str() {
                    // What differs between servers.
                    "server_version" | "session_authorization" => format!("{name}=*"),
                    _ => format!("{name}={value}"),
                }
            }
            'K' => {
                self.key = (body.int32(), body.int32());
                String::new()
            }
            'Z' => char::from(body.byte()).to_string(),
            'T' => {
                let columns = body.int16();
                let described: Vec<String> = (0..columns)
                    .map(|_| {
                        let name = body.string();
                        body.int32();
                        body.int16();
                        let (ty, length, modifier, format) =
                            (body.int32(), body.int16(), body.int32(), body.int16());
                        format!("{name}:{ty}:{length}:{modifier}:{format}")
                    })
                    .collect();
                described.join(", ")
            }
            'D' => {
                let columns = body.int16();
                let values: Vec<String> = (0..columns)
                    .map(|_| match usize::try_from(body.int32()) {
                        Err(_) => "NULL".to_owned(),
                        Ok(length) => match std::str::from_utf8(body.bytes(length)) {
                            Ok(text) if !text.chars().any(char::is_control) => {
                                format!("'{text}'")
                            }
                            Ok(text) => format!("{:?}", text.as_bytes()),
                            Err(error) => format!("{error}"),
                        },
                    })
                    .collect();
                values.join(", ")
            }
            't' => {
                let count = body.int16();
                let types: Vec<String> = (0..count).map(|_| body.int32().to_string()).collect();
                types.join(", ")
            }
            'C' => body.string(),
            'E' | 'N' => {
                let mut parts = Vec::new();
                loop {
                    let field = char::from(body.byte());
                    if field == '\0' {
                        break;
                    }
                    let value = body.string();
                    match field {
                        'S' | 'C' | 'M' => parts.push(value),
                        'D' => parts.push(format!("| {value}")),
                        'P' => parts.push(format!("@ {value}")),
                        'W' if value.contains("COPY ") => {
                            parts.push(format!("~ {}", value.replace('\n', "\\n")))
                        }
                        _ => {}
                    }
                }
                parts.join(" ")
            }
            'd' => format!("{:?}", String::from_utf8_lossy(body.0)),
            'G' | 'H' => {
                let format = body.byte();
                format!("{format} {}", body.int16())
            }
            'v' => {
                let (minor, count) = (body.int32(), body.int32());
                let names: Vec<String> = (0..count).map(|_| body.string()).collect();
                format!("{minor} {}", names.join(" "))
            }
            _ => String::new(),
        };
        format!("{kind} {text}").trim_end().to_owned()
    }
}

/// The fields of a message of a server that is trusted to frame them well.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (bytes, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        bytes
    }

    fn byte(&mut self) -> u8 {
        self.bytes(1).first().copied().unwrap_or(0)
    }

    fn int16(&mut self) -> i16 {
        self.bytes(2).try_into().map_or(0, i16::from_be_bytes)
    }

    fn int32(&mut self) -> i32 {
        self.bytes(4).try_into().map_or(0, i32::from_be_bytes)
    }

    fn string(&mut self) -> String {
        let length = self.0.iter().position(|byte| *byte == 0).unwrap_or(self.0.len());
        let text = String::from_utf8_lossy(self.bytes(length)).into_owned();
        self.bytes(1);
        text
    }
}

fn unhex(text: &str) -> Result<Vec<u8>, String> {
    (0..text.len() / 2)
        .map(|at| {
            u8::from_str_radix(&text[2 * at..2 * at + 2], 16).map_err(|error| error.to_string())
        })
        .collect()
}
