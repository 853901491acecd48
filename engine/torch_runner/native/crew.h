// Threads of one OpenMP region that share out the units of one phase after another.
#pragma once

#include <sched.h>

#include <atomic>
#include <cstdint>
#include <vector>

namespace baton {

struct alignas(64) Phase {
    std::atomic<int64_t> taken{0};
    alignas(64) std::atomic<int64_t> done{0};
};

// One thread's way through the phases; all threads call run() with the same units in the same order.
// Nobody waits for a thread, only for units that it has taken: one that lost its core between two units
// holds up nobody, and finds its phases done when it comes back.
class Crew {
    Phase* phase_;

    static void pause() {
#if defined(__x86_64__)
        __builtin_ia32_pause();
#endif
    }

  public:
    static constexpr int SPINS = 2000;  // some tens of microseconds; then whoever else wants the core gets it

    explicit Crew(Phase* first) : phase_(first) {}

    template <class Work>
    void run(int64_t units, Work work) {
        Phase& phase = *phase_++;
        int64_t unit;
        while ((unit = phase.taken.fetch_add(1, std::memory_order_relaxed)) < units) {
            work(unit);
            phase.done.fetch_add(1, std::memory_order_release);
        }
        for (int spins = 0; phase.done.load(std::memory_order_acquire) < units; ++spins)
            if (spins < SPINS) pause();
            else sched_yield();
    }
};

}  // namespace baton
