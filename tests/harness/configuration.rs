//! What the surroundings of a test add to the configuration of its sensor.

use crate::{slowness, throwaway};

/// The configuration, with what it leaves to the surroundings.
pub(crate) fn completed(configuration: &str) -> String {
    exporting_less(&with_systems(&with_second(&with_hooks(configuration))))
}

/// Where things are slow, an export a second is most of what a sensor does: then, one every so many.
fn exporting_less(configuration: &str) -> String {
    let often = "[export]\ninterval = \"1s\"";
    let seldom = format!("[export]\ninterval = \"{}s\"", slowness());
    configuration.replacen(often, &seldom, 1)
}

/// With the hooks that `SENSOR_TEST_HOOKS` asks for: all tests hold on each rung of the ladder.
fn with_hooks(configuration: &str) -> String {
    match std::env::var("SENSOR_TEST_HOOKS") {
        Ok(hooks) => with(configuration, "kernel", "hooks", &format!("\"{hooks}\"")),
        Err(_) => configuration.to_owned(),
    }
}

/// With the second programs that `SENSOR_TEST_SECOND` asks for: all tests hold with both of a hook, and with the second `alone`, as if
/// the kernel kept every operation from the first.
fn with_second(configuration: &str) -> String {
    match std::env::var("SENSOR_TEST_SECOND") {
        Ok(second) => with(
            configuration,
            "kernel",
            "second_programs",
            &format!("\"{second}\""),
        ),
        Err(_) => configuration.to_owned(),
    }
}

/// Where things are slow, with those database systems alone that this process has started a server of: an emulated kernel verifies
/// the programs for all of them for half a minute at each start. (`sensor check` has it verify all of them.)
fn with_systems(configuration: &str) -> String {
    if slowness() == 1 {
        return configuration.to_owned();
    }
    let mut systems = vec!["postgresql"];
    systems.extend(throwaway::started());
    with(
        configuration,
        "discover",
        "systems",
        &format!("{systems:?}"),
    )
}

/// With a setting, unless it has one already. What is there keeps its lines where that can be.
fn with(configuration: &str, section: &str, key: &str, value: &str) -> String {
    if configuration.contains(&format!("\n{key} = ")) {
        return configuration.to_owned();
    }
    let head = format!("[{section}]\n");
    let setting = format!("{head}{key} = {value}\n");
    if configuration.contains(&head) {
        configuration.replacen(&head, &setting, 1)
    } else {
        format!("{configuration}\n{setting}")
    }
}
