#include "engine/ranks/step_plan.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <span>

#include "base/checked.h"
#include "ops/ops.h"

namespace tutti {

namespace {

static_assert(std::endian::native == std::endian::little, "the encoding is a copy of memory");

constexpr int64_t kDrawWords = sizeof(DrawParams) / sizeof(int32_t);
constexpr int64_t kAdjustWords = sizeof(AdjustParams) / sizeof(int32_t);
constexpr int64_t kStateWriteWords = sizeof(StateWrite) / sizeof(int32_t);

// The numbers of a plan, in the order of their encoding.
template <class Plan, class Visit>
void each_number(Plan& plan, Visit visit) {
  visit(plan.rows.tokens);
  visit(plan.rows.sequences);
  visit(plan.rows.logits);
  visit(plan.rows.draws);
  visit(plan.rows.log_probs);
  visit(plan.rows.adjusted);
  visit(plan.rows.ropes);
  visit(plan.table_width);
  visit(plan.max_queries);
  visit(plan.max_keys);
  visit(plan.total_keys);
}

template <class T>
void put(std::string& out, T value) {
  out.append(reinterpret_cast<const char*>(&value), sizeof value);
}

template <class T>
void put_array(std::string& out, const std::vector<T>& values) {
  put(out, static_cast<uint64_t>(values.size()));
  out.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

class Reader {
 public:
  explicit Reader(std::string_view bytes) : bytes_(bytes) {}

  template <class T>
  bool take(T& value) {
    if (bytes_.size() < sizeof value) {
      return false;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return true;
  }

  template <class T>
  bool take_array(std::vector<T>& values) {
    uint64_t count = 0;
    if (!take(count) || count > bytes_.size() / sizeof(T)) {
      return false;
    }
    values.resize(count);
    if (count > 0) {
      std::memcpy(values.data(), bytes_.data(), count * sizeof(T));
    }
    bytes_.remove_prefix(count * sizeof(T));
    return true;
  }

  bool at_end() const { return bytes_.empty(); }

 private:
  std::string_view bytes_;
};

Status cut_off() {
  return invalid("a step plan ends before what it announces");
}

Status check_range(const char* what, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    return invalid("step plan: {} is {}, wanted {} to {}", what, value, least, most);
  }
  return ok_status();
}

Status check_optional(const char* what, int64_t value, int64_t full) {
  if (value != 0 && value != full) {
    return invalid("step plan: {} is {}, wanted 0 or {}", what, value, full);
  }
  return ok_status();
}

Status check_length(const char* what, size_t got, int64_t wanted) {
  if (ssize(got) != wanted) {
    return invalid("step plan: {} has {} words, wanted {}", what, got, wanted);
  }
  return ok_status();
}

int64_t table_words(int32_t table, int64_t vocab_size) {
  switch (table) {
    case StateWrite::kSeen:
      return vocab_size;
    case StateWrite::kAllowed:
      return ceil_div(vocab_size, 32);
    default:
      return kMaxEdits * kEditWords;
  }
}

// Goes over the parts of StepPlan::inputs in the order of lay_out_inputs().
class Parts {
 public:
  explicit Parts(std::span<const int32_t> words) : words_(words) {}

  std::span<const int32_t> next(int64_t count) {
    const std::span<const int32_t> part = words_.first(usize(count));
    words_ = words_.subspan(usize(count));
    return part;
  }

 private:
  std::span<const int32_t> words_;
};

Status check_all(const char* what, std::span<const int32_t> values, int64_t least, int64_t most) {
  for (const int32_t value : values) {
    TUTTI_RETURN_IF_ERROR(check_range(what, value, least, most));
  }
  return ok_status();
}

// Offsets from 0 to `end` that never fall; each step of at most `most`.
Status check_offsets(const char* what, std::span<const int32_t> values, int64_t end, int64_t most) {
  int64_t before = 0;
  for (const int32_t value : values) {
    TUTTI_RETURN_IF_ERROR(check_range(what, value, before, std::min(end, before + most)));
    before = value;
  }
  TUTTI_RETURN_IF_ERROR(check_range(what, values.front(), 0, 0));
  return check_range(what, values.back(), end, end);
}

// Of places that are written at once: none twice; negative ones are left out.
Status check_distinct(const char* what, std::span<const int32_t> places) {
  std::vector<int32_t> sorted(places.begin(), places.end());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i] >= 0 && sorted[i] == sorted[i - 1]) {
      return invalid("step plan: {} {} comes twice", what, sorted[i]);
    }
  }
  return ok_status();
}

// What was recorded is a decode step of a padded size over the whole block tables.
Status check_recorded(const StepPlan& plan, const StepShape& shape) {
  const StepRows& rows = plan.rows;
  const std::vector<int64_t> sizes = padded_sizes(shape.max_sequences);
  const bool fits = std::binary_search(sizes.begin(), sizes.end(), rows.sequences) &&
                    rows.tokens == rows.sequences && rows.logits == rows.sequences &&
                    plan.max_queries == 1 && plan.table_width == shape.table_width() &&
                    plan.max_keys == plan.table_width * shape.block_size && !plan.host_chooses;
  return fits ? ok_status() : invalid("step plan: no such step is recorded");
}

Status check_inputs(const StepPlan& plan, const StepShape& shape) {
  const StepRows& rows = plan.rows;
  const int64_t slots = shape.max_sequences;
  Parts parts(plan.inputs);
  TUTTI_RETURN_IF_ERROR(check_all("a token", parts.next(rows.tokens), -1, shape.vocab_size - 1));
  TUTTI_RETURN_IF_ERROR(check_all("a token's slot", parts.next(rows.tokens), 0, slots - 1));
  TUTTI_RETURN_IF_ERROR(check_all("a position", parts.next(rows.tokens), 0, shape.max_context - 1));
  TUTTI_RETURN_IF_ERROR(check_all("a place in the KV cache",
                                  parts.next(rows.tokens),
                                  -1,
                                  shape.num_blocks * shape.block_size - 1));
  const std::span<const int32_t> query_begin = parts.next(rows.sequences + 1);
  const std::span<const int32_t> context = parts.next(rows.sequences);
  const std::span<const int32_t> key_begin = parts.next(rows.sequences + 1);
  TUTTI_RETURN_IF_ERROR(
      check_offsets("a sequence's first token", query_begin, rows.tokens, plan.max_queries));
  TUTTI_RETURN_IF_ERROR(
      check_offsets("a sequence's first key", key_begin, plan.total_keys, plan.max_keys));
  for (size_t s = 0; s < context.size(); ++s) {
    const int64_t queries = query_begin[s + 1] - query_begin[s];
    TUTTI_RETURN_IF_ERROR(
        check_range("a sequence's context", context[s], 0, plan.max_keys - queries));
    const int64_t keys = context[s] + queries;
    TUTTI_RETURN_IF_ERROR(
        check_range("a sequence's number of keys", key_begin[s + 1] - key_begin[s], keys, keys));
  }
  TUTTI_RETURN_IF_ERROR(check_all("a sequence's slot", parts.next(rows.sequences), 0, slots - 1));
  TUTTI_RETURN_IF_ERROR(check_all("a row of logits", parts.next(rows.logits), 0, rows.tokens - 1));
  const std::span<const int32_t> sampled = parts.next(rows.logits);
  TUTTI_RETURN_IF_ERROR(check_all("the slot of a sampled token", sampled, -1, slots - 1));
  TUTTI_RETURN_IF_ERROR(check_distinct("the slot of a sampled token", sampled));
  return check_all("a rotary row", parts.next(rows.ropes), 0, 2 * rows.tokens - 1);
}

Status check_choices(const StepPlan& plan, const StepShape& shape) {
  const StepRows& rows = plan.rows;
  Parts parts(plan.sampling);
  TUTTI_RETURN_IF_ERROR(
      check_all("a number of log-probabilities", parts.next(rows.log_probs), -1, kMostLogProbs));
  parts.next(kDrawWords * rows.draws);
  std::vector<bool> taken(usize(shape.max_adjusted));
  std::vector<int32_t> changed;
  for (int64_t i = 0; i < rows.adjusted; ++i) {
    const std::span<const int32_t> words = parts.next(kAdjustWords);
    AdjustParams params;
    std::memcpy(static_cast<void*>(&params), words.data(), sizeof params);
    TUTTI_RETURN_IF_ERROR(check_range("a changed row", params.row, -1, rows.logits - 1));
    if (params.row < 0) {
      continue;
    }
    TUTTI_RETURN_IF_ERROR(
        check_range("a changed row's state", params.state, 0, shape.max_adjusted - 1));
    TUTTI_RETURN_IF_ERROR(check_range("a changed row's edits", params.edits, 0, kMaxEdits));
    if (taken[usize(params.state)]) {
      return invalid("step plan: two changed rows share state {}", params.state);
    }
    taken[usize(params.state)] = true;
    changed.push_back(params.row);
  }
  return check_distinct("the changed row", changed);
}

Status check_states(const StepPlan& plan, const StepShape& shape) {
  for (const StateWrite& write : plan.state_writes) {
    TUTTI_RETURN_IF_ERROR(
        check_range("a table of states", write.table, StateWrite::kSeen, StateWrite::kEdits));
    TUTTI_RETURN_IF_ERROR(check_range("a state", write.state, 0, shape.max_adjusted - 1));
    TUTTI_RETURN_IF_ERROR(check_range(
        "the words of a state", write.count, 0, table_words(write.table, shape.vocab_size)));
    TUTTI_RETURN_IF_ERROR(check_range(
        "the first word of a state", write.begin, 0, ssize(plan.state_words.size()) - write.count));
    if (write.table == StateWrite::kEdits) {
      TUTTI_RETURN_IF_ERROR(
          check_range("the words of half a bias", write.count % kEditWords, 0, 0));
      for (int64_t i = 0; i < write.count; i += kEditWords) {
        TUTTI_RETURN_IF_ERROR(check_range(
            "the id of a bias", plan.state_words[usize(write.begin + i)], 0, shape.vocab_size - 1));
      }
    }
  }
  return ok_status();
}

}  // namespace

std::vector<int64_t> padded_sizes(int64_t most) {
  std::vector<int64_t> sizes;
  for (int64_t size = 1; size < most;) {
    sizes.push_back(size);
    const int64_t step = size < 8 ? size : size < 64 ? 8 : size < 256 ? 16 : 64;
    size += step;
  }
  sizes.push_back(most);
  return sizes;
}

int64_t StepShape::table_width() const {
  return std::max<int64_t>(1, ceil_div(max_context, block_size));
}

int64_t StepRows::input_words() const {
  return 4 * tokens + 4 * sequences + 2 + 2 * logits + ropes;
}

int64_t StepRows::sampling_words() const {
  return log_probs + kDrawWords * draws + (kAdjustWords + kDrawWords) * adjusted;
}

void StepPlan::clear(uint64_t next_step) {
  step = next_step;
  rows = {};
  table_width = 1;
  max_queries = 0;
  max_keys = 0;
  total_keys = 0;
  recorded = false;
  host_chooses = false;
  inputs.clear();
  sampling.clear();
  table_places.clear();
  table_blocks.clear();
  state_writes.clear();
  state_words.clear();
}

bool StepPlan::operator==(const StepPlan& other) const {
  std::string mine;
  std::string theirs;
  encode(*this, mine);
  encode(other, theirs);
  return mine == theirs;
}

void encode(const StepPlan& plan, std::string& out) {
  put(out, StepPlan::kVersion);
  put(out, plan.step);
  each_number(plan, [&out](int64_t number) { put(out, number); });
  put(out, static_cast<uint8_t>(plan.recorded ? 1 : 0));
  put(out, static_cast<uint8_t>(plan.host_chooses ? 1 : 0));
  put_array(out, plan.inputs);
  put_array(out, plan.sampling);
  put_array(out, plan.table_places);
  put_array(out, plan.table_blocks);
  static_assert(sizeof(StateWrite) == kStateWriteWords * sizeof(int32_t));
  put_array(out, plan.state_writes);
  put_array(out, plan.state_words);
}

Result<StepPlan> decode(std::string_view bytes) {
  Reader reader(bytes);
  int32_t version = 0;
  StepPlan plan;
  if (!reader.take(version)) {
    return cut_off();
  }
  if (version != StepPlan::kVersion) {
    return invalid(
        "a step plan of version {}; this program reads version {}: run one build on all "
        "hosts",
        version,
        StepPlan::kVersion);
  }
  uint8_t recorded = 0;
  uint8_t host_chooses = 0;
  bool complete = reader.take(plan.step);
  each_number(plan, [&](int64_t& number) { complete = complete && reader.take(number); });
  complete = complete && reader.take(recorded) && reader.take(host_chooses) &&
             reader.take_array(plan.inputs) && reader.take_array(plan.sampling) &&
             reader.take_array(plan.table_places) && reader.take_array(plan.table_blocks) &&
             reader.take_array(plan.state_writes) && reader.take_array(plan.state_words);
  if (!complete) {
    return cut_off();
  }
  if (!reader.at_end()) {
    return invalid("a step plan is followed by further bytes");
  }
  if (recorded > 1 || host_chooses > 1) {
    return invalid("step plan: a flag is neither 0 nor 1");
  }
  plan.recorded = recorded == 1;
  plan.host_chooses = host_chooses == 1;
  return plan;
}

Status check_plan(const StepPlan& plan, const StepShape& shape) {
  const StepRows& rows = plan.rows;
  TUTTI_RETURN_IF_ERROR(check_range("the number of tokens", rows.tokens, 0, shape.max_tokens));
  TUTTI_RETURN_IF_ERROR(
      check_range("the number of sequences", rows.sequences, 0, shape.max_sequences));
  TUTTI_RETURN_IF_ERROR(
      check_range("the number of rows of logits", rows.logits, 0, shape.max_logit_rows));
  TUTTI_RETURN_IF_ERROR(
      check_range("the number of changed rows", rows.adjusted, 0, shape.max_adjusted));
  TUTTI_RETURN_IF_ERROR(check_optional("the number of draws", rows.draws, rows.logits));
  TUTTI_RETURN_IF_ERROR(
      check_optional("the number of rows with log-probabilities", rows.log_probs, rows.logits));
  const int64_t ropes = shape.long_ropes ? rows.tokens : 0;
  TUTTI_RETURN_IF_ERROR(check_range("the number of rotary rows", rows.ropes, ropes, ropes));
  TUTTI_RETURN_IF_ERROR(
      check_range("the width of block tables", plan.table_width, 1, shape.table_width()));
  TUTTI_RETURN_IF_ERROR(
      check_range("the most tokens of a sequence", plan.max_queries, 0, shape.max_tokens));
  TUTTI_RETURN_IF_ERROR(
      check_range("the most keys", plan.max_keys, 0, plan.table_width * shape.block_size));
  TUTTI_RETURN_IF_ERROR(check_range("the number of keys",
                                    plan.total_keys,
                                    0,
                                    rows.sequences * std::max<int64_t>(1, plan.max_keys)));
  TUTTI_RETURN_IF_ERROR(check_length("the inputs", plan.inputs.size(), rows.input_words()));
  TUTTI_RETURN_IF_ERROR(check_length("the choices", plan.sampling.size(), rows.sampling_words()));
  TUTTI_RETURN_IF_ERROR(
      check_length("the blocks", plan.table_blocks.size(), ssize(plan.table_places.size())));
  const int64_t places = shape.max_sequences * shape.table_width();
  for (const int32_t place : plan.table_places) {
    TUTTI_RETURN_IF_ERROR(check_range("a place in the block tables", place, 0, places - 1));
  }
  TUTTI_RETURN_IF_ERROR(check_distinct("the place in the block tables", plan.table_places));
  if (plan.recorded) {
    TUTTI_RETURN_IF_ERROR(check_recorded(plan, shape));
  }
  TUTTI_RETURN_IF_ERROR(
      check_all("a block of the KV cache", plan.table_blocks, 0, shape.num_blocks - 1));
  TUTTI_RETURN_IF_ERROR(check_inputs(plan, shape));
  TUTTI_RETURN_IF_ERROR(check_choices(plan, shape));
  return check_states(plan, shape);
}

}  // namespace tutti
