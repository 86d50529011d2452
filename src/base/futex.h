// Waiting for a word of memory to change, with a time-out: what std::atomic::wait cannot do.
#pragma once
#include <atomic>
#include <chrono>
#include <cstdint>

namespace tutti {

/// Sleeps while `word` holds `value`, at most `timeout`. May return early; the caller looks again.
void futex_wait(const std::atomic<uint32_t>& word,
                uint32_t value,
                std::chrono::nanoseconds timeout);

/// Ends the sleep of every thread that waits for `word`. A system call: worth avoiding where nobody
/// sleeps.
void futex_wake_all(const std::atomic<uint32_t>& word);

}  // namespace tutti
