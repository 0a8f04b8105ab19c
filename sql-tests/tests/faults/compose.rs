//! What `compose/` describes, started without Docker: the files fit each other, the tour runs, and the metrics are there.

use std::path::Path;
use std::process::Command;

use dataman_sql_tests::topology::program;

#[test]
fn the_tour_runs() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../compose/without-docker");
    let output = Command::new(script)
        .args(["--check", "--program"])
        .arg(program())
        .output()
        .expect("python3 is there");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{complaint}");
    for expected in ["Ada|10.50||1", "Grace|20.00|too large|2", "Read Policy: any", "3 orders"] {
        let found =
            said.lines().any(|line| line.replace(' ', "").contains(&expected.replace(' ', "")));
        assert!(found, "{expected}: {said}");
    }
}
