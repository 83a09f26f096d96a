//! The virtual machine: QEMU, with the processor's help where that really boots a kernel, by emulation elsewhere.

use std::{
    fmt,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    num::NonZeroUsize,
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use super::{Plan, guest, kernel::Image, processor::Processor, results::Summary, root};
use crate::{
    command::{self, command},
    signal, workspace,
};

/// How the guest's processors are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accelerator {
    /// `/dev/kvm`.
    Kvm,
    /// QEMU alone: ten times slower or more, but works everywhere.
    Emulation,
}

impl Accelerator {
    /// Processors of a guest that get most done. Emulated ones hold each other up: whatever one changes of the memory's tables or of
    /// code, all others have to stop for. Two guests of one took half as long as two of two (2026-11-27).
    fn processors(self) -> usize {
        match self {
            Self::Kvm => 2,
            Self::Emulation => 1,
        }
    }
}

impl fmt::Display for Accelerator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Kvm => "QEMU with KVM",
            Self::Emulation => "QEMU without KVM, which is slow",
        })
    }
}

/// A kernel boots to its first process within this with KVM, which takes a second or two where it works.
const PROBE: Duration = Duration::from_secs(20);
/// The emulated processor, without what makes it slow: an emulator follows instructions that copy or clear a whole string (`erms`,
/// `fsrm`) byte by byte, and page tables of five levels (`la57`) at each miss. The verifier clears and copies its states all the time.
const EMULATED: &str = "max,-erms,-fsrm,-la57";
/// Of the kernel's command line, to the same end: no string instructions for whole words either (`rep_good`, feature 112; its
/// name is not known to 5.10), no clearing of memory that is written next, and the processor's clock, which every virtual processor reads
/// alike, but the kernel does not believe it. Sensors start in half the time (6.1, 2026-11-27).
const EASILY_EMULATED: &str = "clearcpuid=112 init_on_alloc=0 tsc=reliable";
/// Memory of the guest in MiB; its files that are written are in there, too.
const MEMORY: u32 = 4096;
/// What comes before the tests may take this long; ten seconds or so when nobody else wants the processors.
const BOOT: Duration = Duration::from_secs(240);
/// An emulated kernel may get stuck before its first process; that is seen once in a while, on the newest.
const BOOTS: u32 = 2;

/// KVM where a kernel really boots with it: the device can be there and useless, in a machine that is virtual itself.
pub fn accelerator(image: &Image) -> Result<Accelerator> {
    if !Path::new("/dev/kvm").exists() {
        return Ok(Accelerator::Emulation);
    }
    let folder = workspace::root().join("target/vm");
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let answer = folder.join("kvm");
    // Asked once, until the machine starts again.
    if let Ok(known) = fs::read_to_string(&answer)
        && let Some(works) = known.strip_prefix(&boot)
    {
        return Ok(if works == "works" {
            Accelerator::Kvm
        } else {
            Accelerator::Emulation
        });
    }
    let mut child = qemu(
        image,
        Processor::X86_64,
        Accelerator::Kvm,
        1,
        "xtask.probe",
        &folder.join("probe.log"),
    )
    .stderr(Stdio::null())
    .spawn()
    .context("cannot start qemu-system-x86_64")?;
    let mut booted = false;
    follow(&mut child, PROBE, PROBE, |line| {
        booted |= line == "xtask: booted";
    })?;
    fs::write(
        &answer,
        format!("{boot}{}", if booted { "works" } else { "hangs" }),
    )
    .with_context(|| format!("cannot write {}", answer.display()))?;
    Ok(if booted {
        Accelerator::Kvm
    } else {
        Accelerator::Emulation
    })
}

/// Boots, runs the script and shows its output behind `name`; it also goes to `log`, and behind it what the kernel had to
/// say.
pub fn run(
    name: &str,
    image: &Image,
    script: &str,
    accelerator: Accelerator,
    plan: &Plan,
    log: &Path,
) -> Result<Summary> {
    let folder = workspace::root().join(format!("target/vm/guest-{name}"));
    workspace::directory(&folder)?;
    let file = folder.join("guest.sh");
    fs::write(&file, script).with_context(|| format!("cannot write {}", file.display()))?;
    let kernel_log = log.with_extension("kernel.log");
    let mut output =
        File::create(log).with_context(|| format!("cannot create {}", log.display()))?;
    let append = plan.append.as_deref().unwrap_or_default();
    let began = Instant::now();
    let mut summary = Summary::default();
    for boot in 1..=BOOTS {
        let processors = plan
            .processors
            .map_or(accelerator.processors(), NonZeroUsize::get);
        let mut qemu = qemu(
            image,
            plan.processor,
            accelerator,
            processors,
            append,
            &kernel_log,
        );
        qemu.args(share("root", &root::folder(plan.processor)))
            .args(share("guest", &folder));
        if plan.processor != Processor::X86_64 {
            qemu.args(share(guest::WORKSPACE, workspace::root()));
        }
        let mut child = qemu
            .stderr(output.try_clone().context("cannot share a log")?)
            .spawn()
            .context("cannot start qemu")?;
        let mut failed = None;
        let end = follow(&mut child, BOOT, BOOT + plan.limit, |line| {
            let minutes = began.elapsed().as_secs() / 60;
            println!("{name:<4} {minutes:>3} min | {line}");
            summary.line(line);
            if let Err(error) = writeln!(output, "{line}") {
                failed = Some(error);
            }
        })?;
        if let Some(error) = failed {
            return Err(error).with_context(|| format!("cannot write {}", log.display()));
        }
        summary.overdue = end != End::ByItself;
        let why = if end == End::Silent {
            format!("nothing came of it in {BOOT:?}")
        } else if accelerator == Accelerator::Emulation && has_tripped(&kernel_log) {
            "the emulator tripped over an instruction that changed".to_owned()
        } else {
            break;
        };
        if boot == BOOTS {
            break;
        }
        println!("{name:<4} | {why}: it is started again");
        summary = Summary::default();
    }
    summary.took = began.elapsed();
    let _ = write!(
        output,
        "\n--- the end of {} ---\n{}",
        kernel_log.display(),
        command::tail(&kernel_log)
    );
    Ok(summary)
}

/// Did the emulator fail, and not the kernel? Tracepoints are switched by putting a trap in the place of an instruction for a moment, and
/// an emulated processor may run into it when the kernel is done with it.
fn has_tripped(kernel_log: &Path) -> bool {
    let log = fs::read(kernel_log).unwrap_or_default();
    String::from_utf8_lossy(&log).contains("Oops: int3")
}

fn qemu(
    image: &Image,
    processor: Processor,
    accelerator: Accelerator,
    processors: usize,
    append: &str,
    kernel_log: &Path,
) -> Command {
    let mut qemu = command(processor.qemu());
    let memory = MEMORY.to_string();
    qemu.args(["-m", &memory])
        .args(["-smp", &processors.to_string()])
        .args(["-nodefaults", "-display", "none", "-no-reboot"])
        .args(["-monitor", "none"])
        .args(["-chardev", "stdio,id=tests,signal=off"]);
    let console = match processor {
        Processor::X86_64 => {
            match accelerator {
                Accelerator::Kvm => qemu.args(["-accel", "kvm", "-cpu", "host,-arch-capabilities"]),
                // The clock goes by instructions: by the host's, as much less is done between two ticks as the processor is slower, and
                // programs are preempted as often as on no real one.
                Accelerator::Emulation if image.preempts_programs && processors == 1 => qemu
                    .args(["-accel", "tcg,thread=single", "-cpu", EMULATED])
                    .args(["-icount", "shift=1"]),
                Accelerator::Emulation => {
                    qemu.args(["-accel", "tcg,thread=multi", "-cpu", EMULATED])
                }
            };
            qemu.arg("-serial")
                .arg(format!("file:{}", kernel_log.display()));
            "ttyS0"
        }
        Processor::Aarch64 => {
            // A server's processor of some years ago; "max" takes much longer to emulate.
            qemu.args(["-machine", "virt,gic-version=3", "-cpu", "neoverse-n1"])
                .args(["-accel", "tcg,thread=multi"]);
            "ttyAMA0"
        }
    };
    qemu.args(["-serial", "chardev:tests"])
        .arg("-kernel")
        .arg(&image.kernel)
        .arg("-initrd")
        .arg(&image.initramfs)
        .arg("-append")
        .arg(format!(
            "console={console} quiet panic=-1 oops=panic mitigations=off {} {append}",
            match (processor, accelerator) {
                (Processor::X86_64, Accelerator::Emulation) => EASILY_EMULATED,
                _ => "",
            }
        ))
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    qemu
}

/// A folder of this machine, for the guest to read only.
fn share(name: &str, folder: &Path) -> [String; 2] {
    [
        "-virtfs".to_owned(),
        format!(
            "local,path={},mount_tag={name},security_model=none,readonly=on,multidevs=remap",
            folder.display()
        ),
    ]
}

/// How a machine ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// It switched itself off.
    ByItself,
    /// It was killed: it had said nothing for too long after its start.
    Silent,
    /// It was killed: it took too long.
    Overdue,
}

/// Hands on the lines that a machine writes until it ends; kills it when the first one, or the end, takes too long.
fn follow(
    child: &mut Child,
    first: Duration,
    limit: Duration,
    mut each: impl FnMut(&str),
) -> Result<End> {
    let output = child.stdout.take().context("qemu has no output")?;
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || {
        for line in BufReader::new(output).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).trim_end().to_owned();
            if send.send(line).is_err() {
                return;
            }
        }
    });
    let began = Instant::now();
    let mut silent = true;
    let end = loop {
        match lines.recv_timeout(Duration::from_millis(200)) {
            Ok(line) => {
                silent = false;
                each(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break End::ByItself,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if silent && began.elapsed() > first {
            break End::Silent;
        }
        if began.elapsed() > limit {
            break End::Overdue;
        }
        if signal::interrupted() {
            let _ = child.kill();
            let _ = child.wait();
            bail!("interrupted");
        }
    };
    if end != End::ByItself {
        child.kill().context("cannot end qemu")?;
    }
    child.wait().context("cannot wait for qemu")?;
    drop(lines);
    let _ = reader.join();
    Ok(end)
}
