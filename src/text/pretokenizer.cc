#include "text/pretokenizer.h"

#include <array>
#include <optional>
#include <utility>

#include "base/json_fields.h"

namespace tutti {

namespace {

constexpr int kMaxDepth = 16;
constexpr size_t kMaxSteps = 64;

// ByteLevel with use_regex: the pattern of GPT-2's encoder.py.
constexpr std::string_view kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";
constexpr std::string_view kDigitPattern = R"(\p{N})";
constexpr std::string_view kPunctuationPattern = R"([!-\/:-@\[-`\{-~]|\p{P})";

Result<SplitBehavior> parse_behavior(const std::string& name, const std::string& where) {
  static constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {
      {{"Removed", SplitBehavior::kRemoved},
       {"Isolated", SplitBehavior::kIsolated},
       {"MergedWithPrevious", SplitBehavior::kMergedWithPrevious},
       {"MergedWithNext", SplitBehavior::kMergedWithNext},
       {"Contiguous", SplitBehavior::kContiguous}}};
  for (const auto& [known, behavior] : kNames) {
    if (name == known) {
      return behavior;
    }
  }
  return error(StatusCode::kUnsupported,
               "{}.behavior: got \"{}\", wanted Removed, Isolated, MergedWithPrevious, "
               "MergedWithNext or Contiguous",
               where,
               name);
}

std::string escape_literal(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(R"(\^$.[]|()?*+{}-&)").find(c) != std::string_view::npos) {
      out += '\\';
    }
    out += c;
  }
  return out;
}

// One pass over a piece: takes matches and gaps in order, emits pieces by the step's behavior.
class Emitter {
 public:
  Emitter(SplitBehavior behavior, std::vector<TextRange>& out) : behavior_(behavior), out_(out) {}

  void add(TextRange range, bool is_match) {
    const bool joins =
        (behavior_ == SplitBehavior::kMergedWithPrevious && is_match && !last_match_) ||
        (behavior_ == SplitBehavior::kMergedWithNext && !is_match && last_match_) ||
        (behavior_ == SplitBehavior::kContiguous && is_match == last_match_);
    if (joins && pending_) {
      pending_->end = range.end;
    } else if (behavior_ != SplitBehavior::kRemoved || !is_match) {
      flush();
      pending_ = range;
    }
    last_match_ = is_match;
  }

  void flush() {
    if (pending_ && pending_->begin < pending_->end) {
      out_.push_back(*pending_);
    }
    pending_.reset();
  }

 private:
  SplitBehavior behavior_;
  std::vector<TextRange>& out_;
  std::optional<TextRange> pending_;
  bool last_match_ = false;
};

Status split_piece(const SplitStep& step,
                   std::string_view text,
                   TextRange piece,
                   RegexSearch& search,
                   std::vector<TextRange>& out) {
  search.start(text.substr(piece.begin, piece.end - piece.begin));
  Emitter emitter(step.behavior, out);
  uint32_t done = piece.begin;
  while (true) {
    TUTTI_TRY(const std::optional<TextRange> match, search.next());
    if (!match) {
      break;
    }
    const TextRange range = {piece.begin + match->begin, piece.begin + match->end};
    if (range.begin > done) {
      emitter.add({done, range.begin}, step.invert);
    }
    emitter.add(range, !step.invert);
    done = range.end;
  }
  if (done < piece.end) {
    emitter.add({done, piece.end}, step.invert);
  }
  emitter.flush();
  return ok_status();
}

}  // namespace

class PreTokenizer::Parser {
 public:
  explicit Parser(PreTokenizer& out) : out_(out) {}

  Status parse(const Json& json, const std::string& where, int depth) {
    if (!json.is_object() || depth > kMaxDepth) {
      return error(StatusCode::kCorrupt, "{}: got {}, wanted an object", where, json.type_name());
    }
    FieldReader reader(json.as_object(), where);
    const std::string type = reader.required_string("type");
    TUTTI_RETURN_IF_ERROR(reader.status());
    if (type == "Sequence") {
      return parse_sequence(reader, where, depth);
    }
    if (done_) {
      return error(StatusCode::kUnsupported,
                   "{}: type \"{}\" after ByteLevel is not supported; ByteLevel must be the last",
                   where,
                   type);
    }
    if (type == "Split") {
      return parse_split(reader, where);
    }
    if (type == "ByteLevel") {
      return parse_byte_level(reader);
    }
    if (type == "Digits") {
      const bool single = reader.bool_or("individual_digits", false);
      TUTTI_RETURN_IF_ERROR(reader.status());
      const SplitBehavior behavior = single ? SplitBehavior::kIsolated : SplitBehavior::kContiguous;
      return add_step(out_.before_prefix_, kDigitPattern, behavior, false, where);
    }
    if (type == "Punctuation") {
      const std::string name = reader.string_or("behavior", "Isolated");
      TUTTI_RETURN_IF_ERROR(reader.status());
      TUTTI_TRY(const SplitBehavior behavior, parse_behavior(name, where));
      return add_step(out_.before_prefix_, kPunctuationPattern, behavior, false, where);
    }
    return error(StatusCode::kUnsupported,
                 "{}: pre-tokenizer type \"{}\" is not supported; supported: Sequence, Split, "
                 "Digits, Punctuation, ByteLevel",
                 where,
                 type);
  }

  bool done() const { return done_; }

 private:
  Status parse_sequence(FieldReader& reader, const std::string& where, int depth) {
    const JsonArray* parts = reader.optional_array("pretokenizers");
    TUTTI_RETURN_IF_ERROR(reader.status());
    for (size_t i = 0; parts != nullptr && i < parts->size(); ++i) {
      TUTTI_RETURN_IF_ERROR(
          parse((*parts)[i], fmt::format("{}.pretokenizers[{}]", where, i), depth + 1));
    }
    return ok_status();
  }

  Status parse_split(FieldReader& reader, const std::string& where) {
    const std::string behavior_name = reader.required_string("behavior");
    const bool invert = reader.bool_or("invert", false);
    const JsonObject* pattern = reader.optional_object("pattern");
    TUTTI_RETURN_IF_ERROR(reader.status());
    TUTTI_TRY(const SplitBehavior behavior, parse_behavior(behavior_name, where));
    if (pattern == nullptr) {
      return error(StatusCode::kCorrupt, "{}.pattern: missing", where);
    }
    FieldReader pattern_reader(*pattern, where + ".pattern");
    const std::optional<std::string> regex = pattern_reader.optional_string("Regex");
    const std::optional<std::string> literal = pattern_reader.optional_string("String");
    TUTTI_RETURN_IF_ERROR(pattern_reader.status());
    if (regex.has_value() == literal.has_value()) {
      return error(
          StatusCode::kCorrupt, "{}.pattern: wanted either \"Regex\" or \"String\"", where);
    }
    return add_step(
        out_.before_prefix_, regex ? *regex : escape_literal(*literal), behavior, invert, where);
  }

  Status parse_byte_level(FieldReader& reader) {
    // Defaults of the reference implementation for members an old file lacks.
    out_.add_prefix_space_ = reader.bool_or("add_prefix_space", true);
    const bool use_regex = reader.bool_or("use_regex", true);
    TUTTI_RETURN_IF_ERROR(reader.status());
    done_ = true;
    if (!use_regex) {
      return ok_status();
    }
    return add_step(out_.after_prefix_, kGpt2Pattern, SplitBehavior::kIsolated, false, "ByteLevel");
  }

  Status add_step(std::vector<SplitStep>& steps,
                  std::string_view pattern,
                  SplitBehavior behavior,
                  bool invert,
                  const std::string& where) {
    if (steps.size() >= kMaxSteps) {
      return error(StatusCode::kUnsupported, "{}: more than {} steps", where, kMaxSteps);
    }
    Result<UnicodeRegex> regex = UnicodeRegex::compile(pattern);
    if (!regex.ok()) {
      return std::move(regex).status().with_context(where);
    }
    steps.push_back({*std::move(regex), behavior, invert});
    return ok_status();
  }

  PreTokenizer& out_;
  bool done_ = false;
};

Result<PreTokenizer> PreTokenizer::from_json(const Json* json, const std::string& where) {
  PreTokenizer out;
  Parser parser(out);
  if (json != nullptr && !json->is_null()) {
    TUTTI_RETURN_IF_ERROR(parser.parse(*json, where, 0));
  }
  if (!parser.done()) {
    return error(StatusCode::kUnsupported,
                 "{}: no ByteLevel step; only byte-level BPE tokenizers are supported",
                 where);
  }
  return out;
}

Status PreTokenizer::apply(const SplitStep& step,
                           std::string_view text,
                           std::vector<TextRange>& ranges,
                           std::vector<TextRange>& scratch) {
  RegexSearch search(step.regex, text.size());
  scratch.clear();
  for (const TextRange& range : ranges) {
    TUTTI_RETURN_IF_ERROR(split_piece(step, text, range, search, scratch));
  }
  ranges.swap(scratch);
  return ok_status();
}

Status PreTokenizer::split(std::string_view text,
                           PieceList& pieces,
                           std::vector<TextRange>& scratch) const {
  pieces.text = text;
  pieces.ranges.clear();
  if (text.empty()) {
    return ok_status();
  }
  pieces.ranges.push_back({0, static_cast<uint32_t>(text.size())});
  for (const SplitStep& step : before_prefix_) {
    TUTTI_RETURN_IF_ERROR(apply(step, text, pieces.ranges, scratch));
  }
  if (add_prefix_space_) {
    pieces.storage.clear();
    for (TextRange& range : pieces.ranges) {
      const auto begin = static_cast<uint32_t>(pieces.storage.size());
      if (text[range.begin] != ' ') {
        pieces.storage += ' ';
      }
      pieces.storage += text.substr(range.begin, range.end - range.begin);
      range = {begin, static_cast<uint32_t>(pieces.storage.size())};
    }
    pieces.text = pieces.storage;
  }
  for (const SplitStep& step : after_prefix_) {
    TUTTI_RETURN_IF_ERROR(apply(step, pieces.text, pieces.ranges, scratch));
  }
  return ok_status();
}

}  // namespace tutti
