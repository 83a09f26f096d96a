//! The service's unit file: what it takes from the sensor is nothing that the sensor needs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::{Command, Stdio},
    thread,
};

use harness::{Sensor, Turn, sensor_binary, workspace};

use crate::{QUIET, rights::LEAST, server, stderr, stdout, watches};

fn unit() -> String {
    fs::read_to_string(workspace().join("deploy/data-access-sensor.service"))
        .expect("the unit file")
}

/// Value of a directive.
fn directive(name: &str) -> String {
    let unit = unit();
    let line = unit
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    line.unwrap_or_else(|| panic!("no {name} in the unit file"))
        .to_owned()
}

#[test]
fn it_gives_the_four_capabilities_that_are_enough() {
    let least: BTreeSet<String> = LEAST
        .split(",+")
        .map(|name| format!("CAP_{}", name.trim_start_matches('+').to_ascii_uppercase()))
        .collect();
    for name in ["AmbientCapabilities", "CapabilityBoundingSet"] {
        let given: BTreeSet<String> = directive(name)
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(given, least, "{name}");
    }
    assert_eq!(directive("NoNewPrivileges"), "yes");
}

#[test]
fn systemd_finds_no_fault_with_it() {
    let folder = tempfile::tempdir().expect("temporary directory");
    let file = folder.path().join("data-access-sensor.service");
    // The program is where this build put it.
    let text = unit().replace("/usr/bin/sensor", &sensor_binary().to_string_lossy());
    fs::write(&file, text).expect("write the unit file");
    let verified = Command::new("systemd-analyze")
        .arg("verify")
        .arg(&file)
        .output()
        .expect("systemd-analyze");
    // What it has to say of this host's other units is not about this one.
    let faults: Vec<String> = stderr(&verified)
        .lines()
        .filter(|line| line.contains("data-access-sensor.service"))
        .map(str::to_owned)
        .collect();
    assert!(faults.is_empty(), "{faults:#?}");
    // Exposure in tenths, of ten: without any hardening it is 9.6.
    let exposure = Command::new("systemd-analyze")
        .args(["security", "--offline=true", "--threshold=30", "--no-pager"])
        .arg(&file)
        .output()
        .expect("systemd-analyze");
    assert!(exposure.status.success(), "{}", stdout(&exposure));
}

/// Numbers of all system calls by name, as the C compiler has them.
fn numbers() -> BTreeMap<String, u32> {
    let mut compiler = Command::new("gcc")
        .args(["-E", "-dM", "-x", "c", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("gcc");
    let input = compiler.stdin.take().expect("piped");
    std::io::Write::write_all(&mut &input, b"#include <asm/unistd.h>\n").expect("write to gcc");
    drop(input);
    let finished = compiler.wait_with_output().expect("gcc");
    stdout(&finished)
        .lines()
        .filter_map(|line| {
            let (name, number) = line.strip_prefix("#define __NR_")?.split_once(' ')?;
            Some((name.to_owned(), number.parse().ok()?))
        })
        .collect()
}

/// The system calls of the unit file's filter, groups taken apart as systemd does.
fn allowed() -> BTreeSet<String> {
    let mut open: Vec<String> = directive("SystemCallFilter")
        .split_whitespace()
        .map(str::to_owned)
        .collect();
    // systemd allows these whatever the filter says.
    open.push("@default".to_owned());
    let mut names = BTreeSet::new();
    while let Some(name) = open.pop() {
        if !names.insert(name.clone()) || !name.starts_with('@') {
            continue;
        }
        let group = Command::new("systemd-analyze")
            .args(["syscall-filter", "--no-pager", &name])
            .output()
            .expect("systemd-analyze");
        assert!(group.status.success(), "{}", stderr(&group));
        open.extend(
            stdout(&group)
                .lines()
                .skip(1)
                .map(str::trim)
                .filter(|line| !line.is_empty() && !line.starts_with('#'))
                .map(str::to_owned),
        );
    }
    names.retain(|name| !name.starts_with('@'));
    names
}

/// From here on, this thread and all that it starts may make these system calls only; others fail with `EPERM`.
fn confine(names: &BTreeSet<String>) {
    let numbers = numbers();
    let instruction = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter {
        code: u16::try_from(code).expect("an instruction"),
        jt,
        jf,
        k,
    };
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let jump = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let end = libc::BPF_RET | libc::BPF_K;
    // The number is the first field of `struct seccomp_data`.
    let mut program = vec![instruction(load, 0, 0, 0)];
    for number in names.iter().filter_map(|name| numbers.get(name)) {
        program.push(instruction(jump, 0, 1, *number));
        program.push(instruction(end, 0, 0, libc::SECCOMP_RET_ALLOW));
    }
    assert!(program.len() > 400, "{} instructions", program.len());
    let refuse = libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs();
    program.push(instruction(end, 0, 0, refuse));
    let program = libc::sock_fprog {
        len: u16::try_from(program.len()).expect("a short program"),
        filter: program.as_mut_ptr(),
    };
    // SAFETY: the program outlives the call, which copies it.
    let result = unsafe {
        libc::prctl(
            libc::PR_SET_SECCOMP,
            libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// With the unit's system calls and no others, the sensor does all that it does.
#[test]
fn its_system_calls_are_enough() {
    let turn = Turn::take();
    let early = server();
    let names = allowed();
    thread::scope(|scope| {
        let confined = scope.spawn(|| {
            confine(&names);
            let sensor = Sensor::start(&turn, QUIET, &[]);
            let status = fs::read_to_string(format!("/proc/{}/status", sensor.pid()));
            assert!(status.expect("status").contains("Seccomp:\t2"));
            sensor
        });
        watches(confined.join().expect("a sensor"), &early);
    });
}

/// Where a filter forbids bpf(2), as those of containers do, it says so before anything else.
#[test]
fn without_bpf_it_says_what_forbids_it() {
    let _turn = Turn::take();
    let mut names = allowed();
    assert!(names.remove("bpf"), "the unit allows bpf(2)");
    let (checked, run) = thread::scope(|scope| {
        scope
            .spawn(|| {
                confine(&names);
                let sensor = |arguments: &[&str]| crate::wrapped(&["env"], arguments);
                (sensor(&["check"]), sensor(&["run"]))
            })
            .join()
            .expect("two runs")
    });
    assert_eq!(checked.status.code(), Some(2), "{}", stdout(&checked));
    assert_eq!(run.status.code(), Some(1), "{}", stderr(&run));
    for text in [stdout(&checked), stderr(&run)] {
        assert!(
            text.contains("bpf(2)") && text.contains("seccomp"),
            "{text}"
        );
    }
}
