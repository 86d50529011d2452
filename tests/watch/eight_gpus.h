// Eight H200 as `tutti top --once --json` recorded them under a load, with what may go wrong.
#pragma once
#include <fstream>
#include <sstream>

#include "watch/gpu_status.h"

namespace tutti::test {

inline GpuStatus eight_gpus() {
  std::stringstream text;
  text << std::ifstream(std::string(TUTTI_SOURCE_DIR) + "/tests/watch/eight_gpus.json").rdbuf();
  return parse_status(parse_json(text.str()).value()).value();
}

}  // namespace tutti::test
