#include "loadgen/request_maker.h"

#include <array>

#include "loadgen/target.h"

namespace tutti::loadgen {

namespace {

// Streams of random numbers of one seed: one per request, one per prefix.
constexpr uint64_t kPrefixStream = uint64_t{1} << 62;

// Short common words: about one token each in the usual vocabularies.
constexpr auto kWords = std::to_array<const char*>(
    {"the",   "of",    "and",   "to",   "in",   "is",    "that",  "for",   "it",   "as",    "was",
     "with",  "be",    "by",    "on",   "not",  "he",    "this",  "are",   "or",   "his",   "from",
     "at",    "which", "but",   "have", "an",   "had",   "they",  "you",   "were", "their", "one",
     "all",   "we",    "can",   "her",  "has",  "there", "been",  "if",    "more", "when",  "will",
     "would", "who",   "so",    "no",   "what", "up",    "out",   "about", "into", "than",  "time",
     "only",  "some",  "could", "new",  "them", "man",   "other", "two",   "may"});

void append_item(std::string& out, std::string_view separator, std::string_view item) {
  if (!out.empty()) {
    out += separator;
  }
  out += item;
}

}  // namespace

RequestMaker::RequestMaker(const Target& target, RequestOptions options)
    : target_(target), options_(std::move(options)) {
  for (int64_t group = 0; options_.shared_prefix > 0 && group < options_.prefix_groups; ++group) {
    Random random(options_.seed, kPrefixStream + static_cast<uint64_t>(group));
    prefixes_.push_back(options_.token_ids ? random_ids(random, options_.shared_prefix)
                                           : random_words(random, options_.shared_prefix));
  }
  const JsonObject& extra = options_.extra;
  JsonObject body;
  body.set("model", options_.model);
  if (options_.stream) {
    body.set("stream", true);
    body.set("stream_options", Json::object({{"include_usage", true}}));
  }
  if (options_.ignore_eos) {
    body.set("ignore_eos", true);
  }
  if (options_.temperature) {
    body.set("temperature", *options_.temperature);
  }
  for (const JsonMember& member : extra) {
    body.set(member.key, member.value);
  }
  tail_ = to_string(Json(std::move(body))).substr(1);  // the part behind {
}

std::string RequestMaker::random_ids(Random& random, int64_t count) const {
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    append_item(
        out,
        ",",
        fmt::format_int(random.integer(options_.first_token_id, options_.last_token_id)).c_str());
  }
  return out;
}

std::string RequestMaker::random_words(Random& random, int64_t count) {
  std::string out;
  for (int64_t i = 0; i < count; ++i) {
    append_item(out, " ", kWords[random.next() % kWords.size()]);
  }
  return out;
}

std::string RequestMaker::prompt_json(Random& random, MadeRequest& made) const {
  const bool chat = options_.endpoint == Endpoint::kChat;
  std::string text;
  if (options_.dataset != nullptr) {
    const std::vector<DatasetEntry>& entries = *options_.dataset;
    const DatasetEntry& entry = entries[random.next() % entries.size()];
    made.output_length = entry.output_tokens.value_or(made.output_length);
    if (chat && entry.messages.is_array()) {
      return R"("messages":)" + to_string(entry.messages);
    }
    text = entry.prompt;
  } else {
    const int64_t length = options_.input_length.draw(random);
    made.prompt_length = options_.shared_prefix + length;
    if (!prefixes_.empty()) {
      text = prefixes_[random.next() % prefixes_.size()];
    }
    append_item(text,
                options_.token_ids ? "," : " ",
                options_.token_ids ? random_ids(random, length) : random_words(random, length));
    if (options_.token_ids) {
      return R"("prompt":[)" + text + "]";
    }
  }
  std::string out = chat ? R"("messages":[{"role":"user","content":)" : R"("prompt":)";
  append_json_string(out, text);
  return out + (chat ? "}]" : "");
}

MadeRequest RequestMaker::make(int64_t index) const {
  Random random(options_.seed, static_cast<uint64_t>(index));
  MadeRequest made;
  made.output_length = options_.output_length.draw(random);
  std::string body = "{" + prompt_json(random, made);
  if (!options_.extra.contains("max_tokens")) {
    body += fmt::format(R"(,"max_tokens":{})", made.output_length);
  }
  if (options_.min_tokens) {
    body += fmt::format(R"(,"min_tokens":{})", made.output_length);
  }
  body += ',';
  body += tail_;
  const char* path = options_.endpoint == Endpoint::kChat ? "/chat/completions" : "/completions";
  made.bytes = request_head(target_, path, body.size());
  made.bytes += body;
  return made;
}

}  // namespace tutti::loadgen
