//! Named stops for the kill tests (feature `failpoints`): the process says where it stands, and stands.

use std::env;

/// Names the fail point at which the process halts.
const VARIABLE: &str = "FLYBALL_HALT_AT";

/// Arms the fail point that `FLYBALL_HALT_AT` names: whoever comes to it says so and goes no further.
pub fn arm() -> anyhow::Result<()> {
    let Ok(name) = env::var(VARIABLE) else { return Ok(()) };
    let point = name.clone();
    let halt = move || {
        eprintln!("halted at {point}");
        loop {
            std::thread::park();
        }
    };
    fail::cfg_callback(name, halt).map_err(|error| anyhow::anyhow!("{VARIABLE}: {error}"))
}
