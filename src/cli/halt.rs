//! Named stops for the kill tests (feature `failpoints`): the process says where it stands, and stands.

/// Arms the fail point `name`: whoever comes to it says so and goes no further.
pub fn arm(name: &str) -> anyhow::Result<()> {
    let point = name.to_owned();
    let halt = move || {
        eprintln!("halted at {point}");
        loop {
            std::thread::park();
        }
    };
    fail::cfg_callback(name, halt).map_err(|error| anyhow::anyhow!("fail point {name}: {error}"))
}
