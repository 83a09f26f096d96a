//! Operations that meet on one processor: since Linux 7.0 the kernel may take the processor from a program in the middle of one, give
//! it to another task, and pass over the program on what that task reads or writes meanwhile.

use std::{
    process::Command,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use harness::{
    Options, Volume, fewer,
    raw::{self, Answer, Raw},
};

use crate::stage::{Stage, still_works};

/// Questions of 14 bytes in one read: a run of the program on reads that takes long. No more get into the server's buffer of 8 KiB.
const QUESTIONS: usize = 580;
/// Rows of each of the quick questions.
const ROWS: u64 = 3;

/// Long runs for one server process, and questions to another that gets the processor as soon as it wants it. All is counted, whatever
/// the kernel keeps from the first program; on hooks that have no second one, the sensor says what is not.
#[test]
fn operations_that_meet_on_one_processor() {
    let rounds = fewer(40);
    let mut stage = Stage::new(&Options::default());
    for role in ["long", "quick"] {
        stage.role(role);
    }
    let mut long = Raw::start(&stage.server.unix(), "long", &stage.database);
    let mut quick = Raw::start(&stage.server.unix(), "quick", &stage.database);
    let [long_process, quick_process] = ["long", "quick"].map(|role| {
        let query = format!("SELECT pid FROM pg_stat_activity WHERE usename = '{role}'");
        stage.server.sql("postgres", &query).trim().to_owned()
    });
    let pinned = [&long_process, &quick_process]
        .iter()
        .all(|process| run("taskset", &["-cp", "0", process]));
    let first = run("chrt", &["--fifo", "--pid", "10", &quick_process]);

    let is_over = AtomicBool::new(false);
    let (long_answers, quick_answers) = thread::scope(|scope| {
        let asking = scope.spawn(|| {
            comes_first();
            let mut answers: Vec<Answer> = Vec::new();
            while !is_over.load(Ordering::Relaxed) {
                answers.push(quick.query(&format!("SELECT id FROM items WHERE id <= {ROWS}")));
                // A timer ends it: it wants the processor in the middle of whatever has it.
                thread::sleep(Duration::from_micros(300));
            }
            answers
        });
        let mut answers = Vec::new();
        for _ in 0..rounds {
            long.send(&raw::query("SELECT 1").repeat(QUESTIONS));
            answers.extend(long.answers(QUESTIONS));
        }
        answers.push(still_works(&mut long));
        is_over.store(true, Ordering::Relaxed);
        (answers, asking.join().expect("the quick client"))
    });
    assert!(quick_answers.iter().all(|answer| answer.rows == ROWS));
    for (role, client, answers) in [
        ("long", long, &long_answers),
        ("quick", quick, &quick_answers),
    ] {
        let mut volume: Volume = answers.iter().map(Answer::volume).sum();
        (volume.bytes_sent, volume.bytes_received) = client.terminate();
        stage.expect(role, volume);
    }
    let output = stage.finish_passed_over(QUESTIONS as u64);
    let taken_over = output.sum("data_access.sensor.bpf.taken_over");
    let missed = output.passed_over();
    eprintln!(
        "pinned: {pinned}, comes first: {first}; {} quick questions; taken over {taken_over}, missed {missed}",
        quick_answers.len()
    );
    // Where a task can come first, and the sensor has found that this kernel preempts its programs, some were kept from the first.
    let is_found = "has a second program: this kernel may preempt such programs";
    if pinned && first && output.log.contains(is_found) {
        assert!(taken_over > 0.0, "nothing met");
    }
}

/// This thread, too, gets the processor as soon as it wants it, where that is allowed.
fn comes_first() {
    let parameter = libc::sched_param { sched_priority: 10 };
    // SAFETY: reads a local; zero is the thread that calls.
    unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const parameter) };
}

/// Runs a program that sets what it can; false when it can't.
fn run(program: &str, arguments: &[&str]) -> bool {
    Command::new(program)
        .args(arguments)
        .output()
        .is_ok_and(|output| output.status.success())
}
