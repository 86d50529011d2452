// Mutations of a valid checkpoint's header: every one must load or give an error, never crash.
#include <random>

#include <gtest/gtest.h>

#include "device/cpu_device.h"
#include "engine/ranks/rank_worker.h"
#include "loader/checkpoint.h"
#include "unit/loader/checkpoint_files.h"

namespace tutti {
namespace {

using testing::TempDir;

constexpr int kMutations = 500;

std::string mutate(std::string file, uint64_t header, std::mt19937_64& random) {
  const auto below = [&random](uint64_t n) { return random() % n; };
  const uint64_t end = 8 + header;
  switch (below(6)) {
    case 0:  // a bit of the header or of its length
      file[below(end)] ^= static_cast<char>(1U << below(8));
      break;
    case 1:  // a byte
      file[below(end)] = static_cast<char>(below(256));
      break;
    case 2: {  // a digit of an offset or a dimension
      uint64_t at = 8 + below(header);
      while (at > 8 && (file[at] < '0' || file[at] > '9')) {
        --at;
      }
      file[at] = static_cast<char>('0' + below(10));
      break;
    }
    case 3:  // cut off
      file.resize(below(file.size()));
      break;
    case 4:  // bytes lost
      file.erase(below(end), 1 + below(40));
      break;
    default:  // bytes doubled
      file.insert(below(end), file, below(end), 1 + below(40));
      break;
  }
  return file;
}

TEST(HeaderFuzzTest, LoadsOrRefuses) {
  const std::string source =
      std::string(TUTTI_SOURCE_DIR) + "/tests/golden/fixtures/llama_yarn_auto_f32";
  const HfConfig config = HfConfig::load(source).value();
  const std::string good = read_file(join_path(source, "model.safetensors")).value();
  uint64_t header = 0;
  std::memcpy(&header, good.data(), sizeof header);
  const TempDir dir;
  std::mt19937_64 random(20240601);
  int loaded = 0;
  for (int i = 0; i < kMutations; ++i) {
    dir.write("model.safetensors", mutate(good, header, random));
    const auto checkpoint = Checkpoint::open(dir.path());
    if (!checkpoint.ok()) {
      EXPECT_FALSE(checkpoint.status().message().empty());
      continue;
    }
    const auto worker = RankWorker::create(config, {}, i % 2, 2).value();
    const auto plan = worker->plan(checkpoint->get(), config.quant);
    if (!plan.ok()) {
      EXPECT_FALSE(plan.status().message().empty());
      continue;
    }
    CpuDevice device;
    ParamRegistry registry;  // its parameters live on the device
    ASSERT_TRUE(make_model(config, Scope(registry, Partition(i % 2, 2)), {}).ok());
    const Status status = WeightLoader(registry, checkpoint->get(), config.quant).load(device, {});
    loaded += status.ok() ? 1 : 0;
  }
  EXPECT_GT(loaded, 0) << "no mutation was harmless: the test no longer reaches the loader";
  EXPECT_LT(loaded, kMutations / 2) << "too few mutations hurt";
}

}  // namespace
}  // namespace tutti
