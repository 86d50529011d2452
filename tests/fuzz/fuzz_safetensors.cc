// Any bytes as a .safetensors file: an error or a file whose tensors all lie inside it.
#include "fuzz/temp_file.h"
#include "loader/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const tutti::testing::TempFile file(data, size);
  const auto opened = tutti::SafetensorsFile::open(file.path());
  if (opened.ok()) {
    for (const tutti::SafetensorsEntry& e : (*opened)->entries()) {
      if (e.offset < 0 || e.bytes < 0 ||
          static_cast<size_t>(e.offset) + static_cast<size_t>(e.bytes) > size) {
        __builtin_trap();
      }
    }
  }
  return 0;
}
