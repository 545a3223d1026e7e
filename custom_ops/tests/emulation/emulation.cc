#include <ucontext.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#include "cuda_runtime.h"

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace emulated {

unsigned order = 0;
Index3 thread, block, grid;
void* shared_memory = nullptr;

namespace {

constexpr size_t kStack = size_t{256} << 10;
constexpr unsigned kLanes = 32;

enum class State { kReady, kAtBlock, kAtWarp, kReturned };

struct Thread {
  ucontext_t context;
  std::unique_ptr<char[]> stack{new char[kStack]};
  State state = State::kReady;
};

std::vector<std::unique_ptr<Thread>> threads;
const std::function<void()>* kernel;
ucontext_t scheduler;
unsigned current;
uint64_t lanes[64][kLanes];  // by warp

// Sanitizers must know of each change of the stack.
void switch_to(ucontext_t* from, ucontext_t* to, const void* stack,
               size_t bytes, bool returns) {
#if defined(__SANITIZE_ADDRESS__)
  void* fake = nullptr;
  __sanitizer_start_switch_fiber(returns ? &fake : nullptr, stack, bytes);
  swapcontext(from, to);
  __sanitizer_finish_switch_fiber(fake, nullptr, nullptr);
#else
  (void)stack, (void)bytes, (void)returns;
  swapcontext(from, to);
#endif
}

const void* scheduler_stack = nullptr;
size_t scheduler_bytes = 0;

void enter() {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(nullptr, &scheduler_stack, &scheduler_bytes);
#endif
  (*kernel)();
  Thread& own = *threads[current];
  own.state = State::kReturned;
  switch_to(&own.context, &scheduler, scheduler_stack, scheduler_bytes, false);
}

void wait(State state) {
  Thread& own = *threads[current];
  own.state = state;
  switch_to(&own.context, &scheduler, scheduler_stack, scheduler_bytes, true);
}

void resume(unsigned index) {
  current = index;
  thread = {index, 0, 0};
  Thread& next = *threads[index];
  switch_to(&scheduler, &next.context, next.stack.get(), kStack, true);
}

// Lets threads [begin, end) go on if all that have not returned have the state.
bool release(unsigned begin, unsigned end, State state) {
  bool any = false;
  for (unsigned i = begin; i < end; ++i) {
    if (threads[i]->state == State::kReturned) continue;
    if (threads[i]->state != state) return false;
    any = true;
  }
  for (unsigned i = begin; any && i < end; ++i) {
    if (threads[i]->state == state) threads[i]->state = State::kReady;
  }
  return any;
}

std::vector<unsigned> turns_of(unsigned count, std::mt19937* random) {
  std::vector<unsigned> turns(count);
  std::iota(turns.begin(), turns.end(), 0u);
  if (order == 1) std::reverse(turns.begin(), turns.end());
  if (order > 1) std::shuffle(turns.begin(), turns.end(), *random);
  return turns;
}

// Runs the threads of a warp until they have returned or wait for the block;
// whether any of them ran.
bool run_warp(unsigned begin, unsigned end, std::mt19937* random) {
  bool ran = false;
  for (;;) {
    bool again = false;
    for (const unsigned i : turns_of(end - begin, random)) {
      if (threads[begin + i]->state != State::kReady) continue;
      resume(begin + i);
      ran = again = true;
    }
    if (!release(begin, end, State::kAtWarp) && !again) return ran;
  }
}

void run_block(unsigned count, std::mt19937* random) {
  const unsigned warps = (count + kLanes - 1) / kLanes;
  for (;;) {
    bool ran = false;
    // One warp after the other, each as far as it gets: that one is ahead of
    // another must not matter.
    for (const unsigned warp : turns_of(warps, random)) {
      const unsigned begin = warp * kLanes;
      ran = run_warp(begin, std::min(begin + kLanes, count), random) || ran;
    }
    if (release(0, count, State::kAtBlock)) continue;
    if (ran) continue;
    for (unsigned i = 0; i < count; ++i) {
      if (threads[i]->state == State::kReturned) continue;
      std::fprintf(stderr, "Threads wait for each other at two barriers.\n");
      std::abort();
    }
    return;
  }
}

}  // namespace

void run(unsigned blocks, unsigned count, size_t shared,
         const std::function<void()>& function) {
  std::mt19937 random(order);
  kernel = &function;
  grid = {blocks, 1, 1};
  while (threads.size() < count) {
    threads.emplace_back(std::make_unique<Thread>());
  }
  for (const unsigned b : turns_of(blocks, &random)) {
    block = {b, 0, 0};
    // A new array for each block, of this size and full of NaN, so that
    // sanitizers and tests find what kernels must not read.
    const std::unique_ptr<char[]> memory(new char[shared]);
    std::fill_n(memory.get(), shared, static_cast<char>(-1));
    shared_memory = memory.get();
    for (unsigned i = 0; i < count; ++i) {
      Thread& own = *threads[i];
      own.state = State::kReady;
      getcontext(&own.context);
      own.context.uc_stack.ss_sp = own.stack.get();
      own.context.uc_stack.ss_size = kStack;
      own.context.uc_link = nullptr;
      makecontext(&own.context, enter, 0);
    }
    run_block(count, &random);
  }
}

void wait_for_block() { wait(State::kAtBlock); }

const uint64_t* exchange(uint64_t value) {
  // All lanes have read the last values before one writes the next.
  wait(State::kAtWarp);
  const unsigned warp = thread.x / kLanes;
  lanes[warp][thread.x % kLanes] = value;
  wait(State::kAtWarp);
  return lanes[warp];
}

}  // namespace emulated
