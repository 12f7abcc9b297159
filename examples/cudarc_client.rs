//! A client of the cudarc crate, as Rust programs are: fills a buffer on the GPU, copies it to and fro, and says in one
//! line of JSON what came of it. With `--hold` it waits for a line of input before it ends.

use cudarc::driver::{CudaContext, LaunchConfig, PushKernelArg};
use cudarc::nvrtc::Ptx;
use std::error::Error;

/// How many words the buffer has: 16 MiB.
const WORDS: usize = 4 << 20;

fn main() -> Result<(), Box<dyn Error>> {
    let context = CudaContext::new(0)?;
    let stream = context.new_stream()?;
    let module = context.load_module(Ptx::from_src(include_str!("fill.ptx")))?;
    let fill = module.load_function("missile_fill")?;

    let sent: Vec<u32> = (0..WORDS as u32).map(|word| word.wrapping_mul(2_654_435_761)).collect();
    let copied = stream.clone_htod(&sent)?;
    let mut filled = stream.alloc_zeros::<u32>(WORDS)?;
    let (words, value) = (WORDS as u64, 7u32);
    let mut launch = stream.launch_builder(&fill);
    launch.arg(&mut filled).arg(&words).arg(&value);
    // SAFETY: the arguments are those of the kernel, and the buffer has so many words.
    unsafe { launch.launch(LaunchConfig::for_num_elems(WORDS as u32)) }?;
    let (copied, filled) = (stream.clone_dtoh(&copied)?, stream.clone_dtoh(&filled)?);

    let counts_up = filled.iter().enumerate().all(|(at, &word)| word == at as u32 + value);
    let digest = filled.iter().chain(&copied).fold(0u64, |sum, &word| sum.rotate_left(5) ^ u64::from(word));
    println!("{}", serde_json::json!({ "digest": format!("{digest:016x}"), "right": counts_up && copied == sent }));
    if std::env::args().any(|argument| argument == "--hold") {
        std::io::stdin().read_line(&mut String::new())?;
    }
    Ok(())
}
