// Any bytes as tokenizer.json, then a text through what loads.
#include "base/json.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto json = tutti::parse_json({reinterpret_cast<const char*>(data), size});
  if (!json.ok()) {
    return 0;
  }
  const auto tokenizer = tutti::Tokenizer::from_json(*json, nullptr);
  if (tokenizer.ok()) {
    const auto ids =
        (*tokenizer)
            ->encode("Hello  world 1234 <a>\n\xE4\xBD\xA0\xE5\xA5\xBD don't \xF0\x9F\x99\x82");
    if (ids.ok()) {
      (void)(*tokenizer)->decode(*ids);
    }
  }
  return 0;
}
