#include "loadgen/chunk_fields.h"

#include <array>

#include <rapidjson/memorystream.h>
#include <rapidjson/reader.h>

namespace tutti::loadgen {

namespace {

enum class Place : uint8_t { kRoot, kChoices, kChoice, kMessage, kUsage, kDetails, kError, kOther };

Place place_below(Place place, std::string_view key) {
  switch (place) {
    case Place::kRoot:
      return key == "choices" ? Place::kChoices
             : key == "usage" ? Place::kUsage
             : key == "error" ? Place::kError
                              : Place::kOther;
    case Place::kChoices:
      return Place::kChoice;
    case Place::kChoice:
      return key == "delta" || key == "message" ? Place::kMessage : Place::kOther;
    case Place::kUsage:
      return key == "prompt_tokens_details" ? Place::kDetails : Place::kOther;
    default:
      return Place::kOther;
  }
}

/// RapidJSON's handler concept.
class Handler {
 public:
  ChunkFields fields;

  void begin() {
    fields.text.clear();
    fields.finished = false;
    fields.prompt_tokens.reset();
    fields.cached_tokens.reset();
    fields.completion_tokens.reset();
    fields.error.reset();
    depth_ = 0;
    key_.clear();
  }

  bool Null() { return depth_ > 0; }

  bool Bool(bool /*value*/) { return depth_ > 0; }

  bool Int(int value) { return number(value); }

  bool Uint(unsigned value) { return number(value); }

  bool Int64(int64_t value) { return number(value); }

  bool Uint64(uint64_t value) { return number(static_cast<int64_t>(value)); }

  bool Double(double /*value*/) { return depth_ > 0; }

  bool RawNumber(const char* /*text*/, rapidjson::SizeType /*length*/, bool /*copy*/) {
    return depth_ > 0;
  }

  bool String(const char* text, rapidjson::SizeType length, bool /*copy*/) {
    const std::string_view value(text, length);
    const Place place = here();
    if (place == Place::kMessage) {
      if (key_ == "content" || key_ == "reasoning_content" || key_ == "reasoning") {
        fields.text += value;
      }
    } else if (place == Place::kChoice) {
      if (key_ == "text") {
        fields.text += value;
      } else if (key_ == "finish_reason") {
        fields.finished = true;
      }
    } else if (place == Place::kError && key_ == "message") {
      fields.error = value;
    } else if (place == Place::kRoot && key_ == "error") {
      fields.error = value;
    }
    return depth_ > 0;
  }

  bool Key(const char* text, rapidjson::SizeType length, bool /*copy*/) {
    key_.assign(text, length);
    return true;
  }

  bool StartObject() {
    if (depth_ == 0) {
      return push(Place::kRoot);
    }
    const Place place = place_below(here(), key_);
    if (place == Place::kError) {
      fields.error.emplace();  // an error even if it has no message
    }
    return push(place);
  }

  bool EndObject(rapidjson::SizeType /*members*/) { return pop(); }

  bool StartArray() {
    return depth_ > 0 &&
           push(place_below(here(), key_) == Place::kChoices ? Place::kChoices : Place::kOther);
  }

  bool EndArray(rapidjson::SizeType /*items*/) { return pop(); }

 private:
  static constexpr size_t kDepth = 64;

  Place here() const { return depth_ == 0 ? Place::kOther : places_[depth_ - 1]; }

  bool push(Place place) {
    if (depth_ == kDepth) {
      return false;
    }
    places_[depth_++] = place;
    return true;
  }

  bool pop() {
    --depth_;
    return true;
  }

  bool number(int64_t value) {
    if (here() == Place::kUsage) {
      if (key_ == "prompt_tokens") {
        fields.prompt_tokens = value;
      } else if (key_ == "completion_tokens") {
        fields.completion_tokens = value;
      }
    } else if (here() == Place::kDetails && key_ == "cached_tokens") {
      fields.cached_tokens = value;
    }
    return depth_ > 0;
  }

  std::array<Place, kDepth> places_{};
  size_t depth_ = 0;
  std::string key_;
};

}  // namespace

struct ChunkReader::Impl {
  rapidjson::Reader reader;
  Handler handler;
};

ChunkReader::ChunkReader() : impl_(std::make_unique<Impl>()) {}

ChunkReader::~ChunkReader() = default;

const ChunkFields* ChunkReader::read(std::string_view json) {
  impl_->handler.begin();
  rapidjson::MemoryStream stream(json.data(), json.size());
  // Iterative: a hostile server must not be able to exhaust the stack.
  constexpr unsigned kFlags = rapidjson::kParseIterativeFlag | rapidjson::kParseStopWhenDoneFlag;
  const auto result = impl_->reader.Parse<kFlags>(stream, impl_->handler);
  return result.IsError() ? nullptr : &impl_->handler.fields;
}

}  // namespace tutti::loadgen
