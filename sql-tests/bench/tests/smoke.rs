//! The measuring stick itself: every workload runs on every form, a handful of operations each, and answers rightly.

use std::process::Command;

#[test]
fn every_workload_runs_and_answers_rightly() {
    let output = Command::new(env!("CARGO_BIN_EXE_dataman-bench"))
        .arg("--smoke")
        .output()
        .expect("the harness starts");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    // What it was made for is there.
    for workload in ["select-prepared-1,", "tpcb-8,", "order-all,", "bulk-insert,", "soak,"] {
        assert!(said.contains(workload), "{workload} is missing:\n{said}");
    }
}
