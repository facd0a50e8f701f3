//! The shipped alert rules, checked by the program that will evaluate them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

#[test]
fn each_alert_is_raised_by_what_it_is_for_and_by_nothing_else() {
    let monitoring = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/overlays/monitoring");
    let rules: Value = serde_saphyr::from_str(&fs::read_to_string(monitoring.join("alerts.yaml")).unwrap()).unwrap();
    let tests = fs::read_to_string(monitoring.join("alerts.test.yaml")).unwrap();
    for rule in rules["spec"]["groups"][0]["rules"].as_array().unwrap() {
        let alert = rule["alert"].as_str().unwrap();
        let raised = [format!("alertname: {alert}\n"), format!("alertname=\"{alert}\"")];
        assert!(raised.iter().any(|raised| tests.contains(raised)), "no series raises {alert}");
    }
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("alerts.json"), rules["spec"].to_string()).unwrap();
    fs::write(directory.path().join("alerts.test.yaml"), tests).unwrap();
    let told = Command::new("promtool")
        .args(["test", "rules", "alerts.test.yaml"])
        .current_dir(directory.path())
        .output()
        .expect("promtool, of the package prometheus");
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{out}{err}");
}
