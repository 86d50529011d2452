// Any bytes as config.json: an error or a model that declares its parameters.
#include "architectures/registry.h"
#include "loader/hf_config.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  auto json = tutti::parse_json({reinterpret_cast<const char*>(data), size}, {.max_depth = 64});
  if (!json.ok()) {
    return 0;
  }
  const auto config = tutti::HfConfig::parse("config.json", std::move(json).value());
  if (!config.ok()) {
    return 0;
  }
  // Thousands of layers and experts are legal and only slow; fuzz the reading, not the patience.
  for (const char* key : {"num_hidden_layers", "n_routed_experts"}) {
    const tutti::Json* value = config->json.find(key);
    if (value != nullptr && value->is_number() && value->as_number() > 64) {
      return 0;
    }
  }
  for (const int ranks : {1, 3}) {
    tutti::ParamRegistry registry;
    (void)tutti::make_model(*config, tutti::Scope(registry, tutti::Partition(0, ranks)), {});
  }
  return 0;
}
