// tutti score: logits of given token ids, for parity checks against other implementations.
#include <algorithm>
#include <fstream>
#include <iostream>

#include "apps/common.h"
#include "base/file.h"
#include "base/log.h"
#include "base/units.h"

namespace tutti {

namespace {

// NumPy format 1.0 (numpy.org/neps/nep-0001): magic, version, header length, padded header, raw
// data.
std::string npy_header(int64_t rows, int64_t cols) {
  std::string header =
      fmt::format("{{'descr': '<f4', 'fortran_order': False, 'shape': ({}, {}), }}", rows, cols);
  constexpr size_t kPrefix = 10;
  constexpr size_t kAlign = 64;
  header.append(kAlign - (kPrefix + header.size() + 1) % kAlign, ' ');
  header += '\n';
  std::string out = "\x93NUMPY";
  out += '\x01';
  out += '\x00';
  out += static_cast<char>(header.size() & 0xFFU);
  out += static_cast<char>(header.size() >> 8U);
  return out + header;
}

Batch one_sequence(const std::vector<int32_t>& ids,
                   int64_t begin,
                   int64_t count,
                   const std::vector<int32_t>& blocks) {
  Batch batch;
  for (int64_t i = begin; i < begin + count; ++i) {
    batch.tokens.push_back(ids[usize(i)]);
    batch.positions.push_back(narrow<int32_t>(i));
  }
  batch.sequences.push_back({.sequence_id = 1,
                             .token_count = count,
                             .context_before = begin,
                             .prompt_tokens = ssize(ids.size())});
  batch.update_blocks(0, 0, blocks);
  return batch;
}

Status score(const ScoreOptions& options) {
  TUTTI_TRY(ModelLoadOptions load, load_options(options.model));
  TUTTI_TRY(const HfConfig config, HfConfig::load(load.directory));
  // Ids are checked against the vocabulary once the model is known; here only their number matters.
  TUTTI_TRY(const std::vector<int32_t> ids, read_ids(options.ids_file, INT32_MAX));
  const int64_t n = ssize(ids.size());
  constexpr int64_t kLargestStep = 512;
  const int64_t chunk = std::min(options.chunk > 0 ? options.chunk : n, std::min(n, kLargestStep));
  if (load.context == 0) {
    const int64_t limit = config.fields().int_or("max_position_embeddings", n, {.min = 1});
    load.context = std::min(n, limit);
  }
  if (n > load.context) {
    return error(StatusCode::kContextLength,
                 "{}: {} ids, the context of this model holds {}",
                 input_name(options.ids_file),
                 n,
                 load.context);
  }
  load.max_batch_tokens = chunk;
  load.max_batch_sequences = 1;
  load.max_logit_rows = chunk;
  load.max_score_rows = 0;
  TUTTI_TRY(const std::unique_ptr<Backend> backend, choose_backend(options.model));
  TUTTI_TRY(const std::unique_ptr<RankedModelRunner> runner,
            load_runner(options.model, *backend, load));
  TUTTI_RETURN_IF_ERROR(check_ids(options.ids_file, ids, runner->limits().vocab_size));

  std::ofstream out(options.logits_out, std::ios::binary);
  if (!out) {
    return invalid("--logits-out {}: cannot be written", options.logits_out);
  }
  const std::string header = npy_header(n, runner->limits().vocab_size);
  out.write(header.data(), ssize(header.size()));
  std::vector<int32_t> blocks;
  for (int64_t b = 0; b * load.block_size < n; ++b) {
    blocks.push_back(narrow<int32_t>(b));
  }
  for (int64_t begin = 0; begin < n; begin += chunk) {
    const int64_t count = std::min(chunk, n - begin);
    std::vector<int32_t> rows;
    for (int64_t i = 0; i < count; ++i) {
      rows.push_back(narrow<int32_t>(i));
    }
    TUTTI_TRY(const std::vector<float> logits,
              runner->logits(one_sequence(ids, begin, count, blocks), rows));
    out.write(reinterpret_cast<const char*>(logits.data()), ssize(logits.size() * sizeof(float)));
  }
  out.close();
  if (!out) {
    return error(StatusCode::kUnavailable,
                 "--logits-out {}: write failed; is the disk full?",
                 options.logits_out);
  }
  if (!options.model.quiet) {
    std::cerr << fmt::format("scored {} tokens on {} rank{}; read {} per rank; logits in {}\n",
                             n,
                             runner->ranks(),
                             runner->ranks() == 1 ? "" : "s",
                             format_bytes(runner->read_bytes().front()),
                             options.logits_out);
  }
  return ok_status();
}

}  // namespace

int score_command(const ScoreOptions& options) {
  if (options.model.quiet) {
    set_log_level(LogLevel::kWarn);
  }
  const Status status = score(options);
  return status.ok() ? 0 : fail(status);
}

}  // namespace tutti
