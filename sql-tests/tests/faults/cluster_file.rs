//! Mistakes in cluster files and on the command line: the program says where, what and what to do instead, and ends.

use std::path::Path;
use std::process::{Command, Stdio};

use dataman_sql_tests::topology::program;

/// A file without mistakes.
const GOOD: &str = "[[node]]
name = \"a\"
[[node.datasource]]
name = \"s0\"
engine = \"sqlite\"
url = \"data0\"
[[node.datasource]]
name = \"s1\"
engine = \"sqlite\"
url = \"data1\"
[[datastore]]
name = \"main\"
vshards = 1024
[[datastore.shard]]
primary = \"a/s0\"
[[datastore.shard]]
primary = \"a/s1\"
[[database]]
name = \"shop\"
datastore = \"main\"
shard_keys = [\"tenant_id\"]
";

/// What the program writes to standard error, and whether it ended well.
fn call(folder: &Path, arguments: &[&str]) -> (bool, String) {
    let mut child = Command::new(program())
        .args(arguments)
        .current_dir(folder)
        .env_remove("DATAMAN_TEST_UNSET")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program is built");
    // One that finds no mistake and starts would run for ever.
    for _ in 0..600 {
        if child.try_wait().expect("our own child").is_some() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    let _ = child.kill();
    let output = child.wait_with_output().expect("its output");
    let success = output.status.success() || output.status.code().is_none();
    (success, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Replaces a part of the good file, and expects this of every command that reads it: `{line}` and what follows.
fn check(replaced: &str, by: &str, expected: &[&str]) {
    assert_eq!(GOOD.matches(replaced).count(), 1, "{replaced} is in the file once");
    check_text(&GOOD.replace(replaced, by), expected);
}

fn check_text(text: &str, expected: &[&str]) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("c.toml"), text).expect("written");
    for arguments in [
        &["up", "--cluster", "c.toml", "--data", "d", "--listen", "127.0.0.1:0"][..],
        &["ctl", "check", "c.toml"],
        &["ctl", "--metadata", "file:d", "apply", "c.toml"],
    ] {
        let (success, said) = call(folder.path(), arguments);
        assert!(!success, "{arguments:?} ended well:\n{said}");
        for expected in expected {
            assert!(said.contains(expected), "{arguments:?} said:\n{said}and not:\n{expected}");
        }
        // The mistake, and what to do about it: no dump of insides.
        assert!(said.starts_with("dataman: ") && said.contains("\n  "), "{said}");
        assert!(!said.contains("panicked") && !said.contains("Error {"), "{said}");
    }
    // Nothing was begun with such a file.
    assert!(
        !folder.path().join("d/metadata.sqlite").exists() || !expected[0].starts_with("c.toml")
    );
}

#[test]
fn each_mistake() {
    check(
        "vshards = 1024",
        "vshard = 1024",
        &["c.toml:13: [[datastore]] cannot have the key \"vshard\"", "Did you mean \"vshards\"?"],
    );
    check("url = \"data0\"", "url = 7", &["c.toml:6: \"url\" is not a text", "in double quotes"]);
    check(
        "name = \"s1\"",
        "name = \"s0\"",
        &["c.toml:7: node \"a\" has two datasources \"s0\"", "a name of its own"],
    );
    check(
        "primary = \"a/s0\"\n",
        "",
        &["c.toml:14: [[datastore.shard]] has no \"primary\"", "Add `primary = "],
    );
    check(
        "primary = \"a/s0\"",
        "primary = \"b/s0\"",
        &["c.toml:15: primary \"b/s0\" names no datasource", "Did you mean"],
    );
    for engine in ["db2", "oracle"] {
        check(
            "engine = \"sqlite\"\nurl = \"data0\"",
            &format!("engine = \"{engine}\"\nurl = \"data0\""),
            &["c.toml:5: ", &format!("\"{engine}\""), "sqlite"],
        );
    }
    for url in ["127.0.0.1:5432", "mysql://h/d"] {
        check(
            "engine = \"sqlite\"\nurl = \"data0\"",
            &format!("engine = \"postgres\"\nurl = \"{url}\""),
            &[
                "c.toml:6: url ",
                "is not one of engine \"postgres\"",
                "postgres://user:password@host:5432/database",
            ],
        );
    }
    for vshards in ["0", "1", "65537", "-4", "\"many\"", "1.5"] {
        check(
            "vshards = 1024",
            &format!("vshards = {vshards}"),
            &[
                &format!("c.toml:13: vshards {vshards} is not a number from 2 to 65536"),
                "Write `vshards = 4096`",
            ],
        );
    }
    check("shard_keys = [\"tenant_id\"]", "shard_keys = [\"\"]", &["c.toml:21: ", "shard_keys"]);
    check("shard_keys = [\"tenant_id\"]", "shard_keys = [3]", &["c.toml:21: ", "shard_keys"]);
    check(
        "shard_keys = [\"tenant_id\"]",
        "shard_key = \"tenant_id\"",
        &[
            "c.toml:21: [[database]] cannot have the key \"shard_key\"",
            "Did you mean \"shard_keys\"?",
        ],
    );
    check(
        "datastore = \"main\"",
        "datastore = \"mian\"",
        &["c.toml:20: database \"shop\" names the datastore \"mian\"", "Did you mean \"main\"?"],
    );
    check("[[database]]", "[[database]", &["c.toml:18: is not TOML"]);
    check("name = \"shop\"", "name = shop", &["c.toml:19: is not TOML"]);
    check_text("", &["c.toml: has no [[node]]", "Add a [[node]]"]);
    check_text("\u{feff}\0\u{1}", &["c.toml:1: is not TOML"]);
    check_text(&"[".repeat(100_000), &["c.toml:1: "]);
    // Several mistakes are told at once.
    check_text(
        &GOOD.replace("vshards", "vshard").replace("shard_keys", "keys"),
        &["c.toml:13: ", "c.toml:21: "],
    );
}

#[test]
fn what_only_starting_finds() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    let up = |cluster: &str, listen: &str| {
        call(path, &["up", "--cluster", cluster, "--data", "d", "--listen", listen])
    };
    let check = |(success, said): (bool, String), expected: &[&str]| {
        assert!(!success, "it ended well:\n{said}");
        for expected in expected {
            assert!(said.contains(expected), "it said:\n{said}and not:\n{expected}");
        }
        assert!(!said.contains("panicked"), "{said}");
    };
    check(up("nowhere.toml", "127.0.0.1:0"), &["nowhere.toml: cannot be read: "]);
    std::fs::create_dir(path.join("folder.toml")).expect("a folder");
    check(up("folder.toml", "127.0.0.1:0"), &["folder.toml: cannot be read: "]);
    std::fs::write(path.join("bytes.toml"), b"name = \"\xff\"").expect("written");
    check(
        up("bytes.toml", "127.0.0.1:0"),
        &["bytes.toml: is not UTF-8", "Save the file in UTF-8."],
    );
    let unset = GOOD.replace("data0", "${DATAMAN_TEST_UNSET}/data0");
    std::fs::write(path.join("unset.toml"), unset).expect("written");
    check(
        up("unset.toml", "127.0.0.1:0"),
        &["datasource a/s0: ", "the environment variable DATAMAN_TEST_UNSET, which is not set"],
    );
    std::fs::write(path.join("c.toml"), GOOD).expect("written");
    let taken = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    check(
        up("c.toml", &address),
        &[&format!("cannot listen on {address}: "), "--listen 127.0.0.1:"],
    );
    check(up("c.toml", "nonsense"), &["nonsense", "--listen"]);
    std::fs::write(path.join("file"), "").expect("written");
    check(call(path, &["up", "--data", "file"]), &["the data folder file", "--data DIR"]);
    check(call(path, &["up", "--statement-mem", "7"]), &["--statement-mem 7: ", "512MB"]);
    check(
        call(
            path,
            &["up", "--tls-cert", "no.pem", "--tls-key", "no.pem", "--listen", "127.0.0.1:0"],
        ),
        &["no.pem"],
    );
    check(call(path, &["proxy", "--metadata", "file:nowhere"]), &["nowhere"]);
    check(call(path, &["proxy", "--metadata", "http://x"]), &["http://x"]);
    check(call(path, &["agent", "--metadata", "file:nowhere", "--node", "a"]), &["nowhere"]);
}
