#include "golden/golden_tokens.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <mutex>
#include <semaphore>

#include "engine/engine.h"

namespace tutti::testing {

namespace {

constexpr int kSequences = 3;
constexpr int32_t kBlocksEach = 8;

void compare(
    TokenComparison& all, const Golden& golden, int64_t at, int32_t got, const std::string& where) {
  const int32_t want = golden.greedy[usize(at)];
  if (got != want && all.wrong.size() < 400) {
    all.wrong += fmt::format("{}token {} is {}, wanted {} (gap {}){}",
                             all.wrong.empty() ? "" : "; ",
                             at,
                             got,
                             want,
                             golden.greedy_gap[usize(at)],
                             where);
  }
}

void add_tokens(Batch& batch,
                const Golden& golden,
                int32_t s,
                const std::vector<int32_t>& tokens,
                int64_t context) {
  batch.sequences.push_back({.sequence_id = static_cast<uint64_t>(s) + 1,
                             .slot = s,
                             .sample = true,
                             .token_begin = ssize(batch.tokens.size()),
                             .token_count = ssize(tokens.size()),
                             .context_before = context,
                             .prompt_tokens = ssize(golden.ids.size())});
  batch.tokens.insert(batch.tokens.end(), tokens.begin(), tokens.end());
  for (int64_t i = 0; i < ssize(tokens.size()); ++i) {
    batch.positions.push_back(narrow<int32_t>(context + i));
  }
}

Batch prompt_batch(const Golden& golden, int32_t s) {
  Batch batch;
  BatchJoin join{.slot = s};
  join.row.params.temperature = 0.0F;
  batch.joins.push_back(std::move(join));
  std::vector<int32_t> blocks;
  for (int32_t b = 0; b < kBlocksEach; ++b) {
    blocks.push_back((kBlocksEach - 1 - b) * kSequences + s);  // scattered
  }
  batch.update_blocks(s, 0, blocks);
  add_tokens(batch, golden, s, golden.ids, 0);
  return batch;
}

// Runs one step; what it chose for each of its sequences.
std::vector<int32_t> run_step(RankedModelRunner& runner, const Batch& batch) {
  StepOutput output;
  const Status status = runner.submit(batch);
  TUTTI_CHECK(status.ok());
  TUTTI_CHECK(runner.collect(output).ok());
  std::vector<int32_t> tokens;
  for (const RowOutput& row : output.rows) {
    tokens.push_back(row.failure < 0 ? output.tokens[usize(row.token_begin)].token : -1);
  }
  return tokens;
}

// Waits for one sequence and keeps its tokens.
class Recorder final : public TokenSink {
 public:
  explicit Recorder(std::counting_semaphore<>& done) : done_(done) {}

  void on_event(const SequenceEvent& event) override {
    for (const SampledToken& token : event.tokens) {
      tokens.push_back(token.token);
    }
    if (event.last()) {
      status = event.status;
      done_.release();
    }
  }

  std::vector<int32_t> tokens;
  Status status;

 private:
  std::counting_semaphore<>& done_;
};

struct Piece {
  int64_t begin = 0;  // of the continuation
  int64_t end = 0;
  std::shared_ptr<Recorder> recorder;
};

std::vector<Piece> clear_pieces(const Golden& golden, double least_gap) {
  std::vector<Piece> pieces;
  for (int64_t i = 0; i < ssize(golden.greedy.size()); ++i) {
    if (golden.greedy_gap[usize(i)] < least_gap) {
      continue;
    }
    if (pieces.empty() || pieces.back().end != i) {
      pieces.push_back({.begin = i, .end = i, .recorder = nullptr});
    }
    ++pieces.back().end;
  }
  return pieces;
}

}  // namespace

TokenComparison compare_forced(RankedModelRunner& runner, const Golden& golden, double least_gap) {
  TokenComparison all;
  const int64_t steps = ssize(golden.greedy.size());
  const auto take = [&](int64_t at, const std::vector<int32_t>& got) {
    if (golden.greedy_gap[usize(at)] < least_gap) {
      return;
    }
    ++all.compared;
    all.decoded += at > 0 ? 1 : 0;
    for (const int32_t token : got) {
      compare(all, golden, at, token, "");
    }
  };
  for (int32_t s = 0; s < kSequences; ++s) {
    const std::vector<int32_t> first = run_step(runner, prompt_batch(golden, s));
    if (s == 0) {
      take(0, first);
    }
  }
  for (int64_t at = 1; at < steps; ++at) {
    Batch batch;
    batch.clear(static_cast<uint64_t>(at));
    for (int32_t s = 0; s < (at < steps / 2 ? kSequences : kSequences - 1); ++s) {
      add_tokens(
          batch, golden, s, {golden.greedy[usize(at - 1)]}, ssize(golden.ids.size()) + at - 1);
    }
    take(at, run_step(runner, batch));
  }
  return all;
}

TokenComparison compare_through_engine(std::unique_ptr<RankedModelRunner> runner,
                                       const Golden& golden,
                                       double least_gap,
                                       int copies) {
  std::counting_semaphore<> done(0);
  Engine engine({}, std::move(runner));
  std::vector<Piece> pieces;
  for (int copy = 0; copy < copies; ++copy) {
    for (const Piece& piece : clear_pieces(golden, least_gap)) {
      pieces.push_back(piece);
    }
  }
  TokenComparison all;
  for (size_t i = 0; i < pieces.size(); ++i) {
    Piece& piece = pieces[i];
    SequenceRequest request;
    request.id = i + 1;
    request.prompt = golden.ids;
    request.prompt.insert(
        request.prompt.end(), golden.greedy.begin(), golden.greedy.begin() + piece.begin);
    request.sampling.temperature = 0.0F;
    request.max_tokens = piece.end - piece.begin;
    piece.recorder = std::make_shared<Recorder>(done);
    std::vector<SequenceRequest> requests;
    requests.push_back(std::move(request));
    const Status status = engine.submit(std::move(requests), piece.recorder);
    if (!status.ok()) {
      all.wrong = std::string(status.message());
      return all;
    }
  }
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!done.try_acquire_for(std::chrono::minutes(1))) {
      all.wrong = "the engine gave no answer for a minute";
      return all;
    }
  }
  engine.shutdown();
  for (const Piece& piece : pieces) {
    const std::vector<int32_t>& got = piece.recorder->tokens;
    if (!piece.recorder->status.ok() || ssize(got.size()) != piece.end - piece.begin) {
      all.wrong = fmt::format("{} of {} tokens came: {}",
                              got.size(),
                              piece.end - piece.begin,
                              piece.recorder->status.message());
      return all;
    }
    for (int64_t i = piece.begin; i < piece.end; ++i) {
      compare(all,
              golden,
              i,
              got[usize(i - piece.begin)],
              fmt::format(" in the piece from {}", piece.begin));
    }
    all.compared += piece.end - piece.begin;
    all.decoded += piece.end - piece.begin - 1;
  }
  all.compared /= copies;
  all.decoded /= copies;
  return all;
}

}  // namespace tutti::testing
