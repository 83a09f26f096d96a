//! What the surroundings of a test add to the configuration of its sensor.

use crate::{slowness, throwaway};

/// The configuration, with what it leaves to the surroundings.
pub(crate) fn completed(configuration: &str) -> String {
    exporting_less(&with_systems(&with_environment(configuration)))
}

/// Where things are slow, an export a second is most of what a sensor does: then, one every so many.
fn exporting_less(configuration: &str) -> String {
    let often = "[export]\ninterval = \"1s\"";
    let seldom = format!("[export]\ninterval = \"{}s\"", slowness());
    configuration.replacen(often, &seldom, 1)
}

/// What the kernel side is to do, by variables of the environment and the keys that they stand for: all tests hold on each rung of the
/// ladder of hooks, with both programs of a hook, and with the second `alone`, as if the kernel kept every operation from the first.
const OF_KERNEL: [(&str, &str); 2] = [
    ("SENSOR_TEST_HOOKS", "hooks"),
    ("SENSOR_TEST_SECOND", "second_programs"),
];

/// See [`OF_KERNEL`].
fn with_environment(configuration: &str) -> String {
    OF_KERNEL
        .iter()
        .filter_map(|(variable, key)| Some((key, std::env::var(variable).ok()?)))
        .fold(configuration.to_owned(), |configuration, (key, value)| {
            with(&configuration, "kernel", key, &format!("\"{value}\""))
        })
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
