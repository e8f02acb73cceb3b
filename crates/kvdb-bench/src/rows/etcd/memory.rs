//! How much memory this process uses.

use crate::rows::Failure;

/// Resident bytes of this process, by the kernel's count (proc(5), `statm`).
pub(super) fn memory() -> Result<u64, Failure> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: u64 = text.split(' ').nth(1).ok_or("/proc/self/statm has no second number")?.parse()?;
    Ok(pages * rustix::param::page_size() as u64)
}

#[cfg(test)]
mod tests {
    #[test]
    fn memory_that_is_written_to_counts() {
        const MORE: usize = 64 << 20;
        let before = super::memory().unwrap();
        let more = std::hint::black_box(vec![1_u8; MORE]);
        let after = super::memory().unwrap();
        assert!(after >= before + (MORE as u64) / 2, "{before} {after}");
        drop(more);
    }
}
