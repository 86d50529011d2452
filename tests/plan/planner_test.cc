#include "plan/planner.h"

#include <random>
#include <set>

#include <gmock/gmock.h>

#include "base/option_names.h"
#include "plan/plan_output.h"

namespace tutti {
namespace {

using testing::HasSubstr;

ModelFacts facts(const std::string& name) {
  const Result<Catalogue> catalogue = Catalogue::load();
  const Result<CatalogueChoice> choice = catalogue->find(name);
  EXPECT_TRUE(choice.ok()) << choice.status().message();
  Result<ModelFacts> facts = facts_of(*choice);
  EXPECT_TRUE(facts.ok()) << facts.status().message();
  return std::move(facts).value();
}

Inventory machine(const std::string& hardware) {
  Inventory inventory = parse_hardware(hardware)->inventory;
  for (Gpu& gpu : inventory.gpus) {
    gpu.memory_used_bytes = 0;
  }
  return inventory;
}

Plan plan_of(const ModelFacts& model, const Inventory& inventory, const PlanRequest& request = {}) {
  Result<Plan> plan = make_plan(model, machine_of(inventory, 1, ""), request);
  EXPECT_TRUE(plan.ok()) << plan.status().message();
  return std::move(plan).value();
}

std::string reason(const Plan& plan, const std::string& code) {
  for (const PlanReason& r : plan.reasons) {
    if (r.code == code) {
      return r.text;
    }
  }
  return "";
}

std::vector<size_t> used(const Plan& plan) {
  std::vector<size_t> out;
  for (size_t i = 0; i < plan.gpus.size(); ++i) {
    if (plan.gpus[i].used) {
      out.push_back(i);
    }
  }
  return out;
}

TEST(Planner, AllEightGpusWorkForDeepSeekR1) {
  const Plan plan = plan_of(facts("deepseek-r1"), machine("8xH200"));
  EXPECT_EQ(plan.verdict, Verdict::kFits);
  EXPECT_TRUE(plan.runnable);
  EXPECT_EQ(plan.parallel.tp, 8);
  EXPECT_EQ(used(plan).size(), 8U);
  EXPECT_EQ(plan.command, "tutti serve deepseek-ai/DeepSeek-R1");
}

TEST(Planner, NoModelThatMoreGpusHelpGetsOneByDefault) {
  const Result<Catalogue> catalogue = Catalogue::load();
  const Inventory eight = machine("8xH200");
  for (const CatalogueModel& model : catalogue->models()) {
    const ModelFacts some = *facts_of({.model = &model, .format = model.formats.front()});
    PlanRequest request{.quick = true};
    const Plan chosen = plan_of(some, eight, request);
    ASSERT_NE(chosen.verdict, Verdict::kRefused) << model.name;
    if (used(chosen).size() > 1) {
      continue;
    }
    request.tp = 2;
    const Plan two = plan_of(some, eight, request);
    EXPECT_LT(two.predicted->decode_tokens_per_second,
              kHelps * chosen.predicted->decode_tokens_per_second)
        << model.name;
  }
}

TEST(Planner, AGpuThatGivesLessThanFivePercentIsLeftOut) {
  const Plan plan = plan_of(facts("qwen2.5-0.5b"), machine("2xH200"), {.goal = Goal::kLatency});
  ASSERT_EQ(used(plan), (std::vector<size_t>{0}));
  EXPECT_THAT(plan.gpus[1].reason, HasSubstr("less than the 5 %"));
  EXPECT_EQ(spell_options(plan.command, &as_flag),
            "tutti serve Qwen/Qwen2.5-0.5B-Instruct --gpus 0,");
}

TEST(Planner, HeadsThatDoNotDivideLeaveGpusOutByName) {
  const Plan plan = plan_of(facts("qwen2.5-7b"), machine("8xH200"));
  EXPECT_EQ(plan.parallel.tp, 4);
  EXPECT_EQ(used(plan), (std::vector<size_t>{0, 1, 2, 3}));
  EXPECT_THAT(plan.gpus[7].reason, HasSubstr("it can over 1, 2, 4"));
}

TEST(Planner, ABusyGpuIsPassedOver) {
  Inventory inventory = machine("8xH200");
  inventory.gpus[0].memory_used_bytes = int64_t{140} << 30;
  const Plan plan = plan_of(facts("qwen2.5-7b"), inventory);
  EXPECT_EQ(used(plan), (std::vector<size_t>{1, 2, 3, 4}));
  EXPECT_EQ(spell_options(plan.command, &as_flag),
            "tutti serve Qwen/Qwen2.5-7B-Instruct --gpus 1,2,3,4");
}

TEST(Planner, ARefusalSaysWhatIsShortAndWhatWouldDo) {
  const Plan plan = plan_of(facts("deepseek-r1"), machine("8xH100-80GB"));
  EXPECT_EQ(plan.verdict, Verdict::kRefused);
  EXPECT_GT(plan.short_by_bytes, 1'000'000'000);
  EXPECT_TRUE(plan.command.empty());
  std::set<std::string> codes;
  for (const PlanAlternative& other : plan.alternatives) {
    codes.insert(other.code);
  }
  EXPECT_TRUE(codes.contains("quantization"));
  EXPECT_TRUE(codes.contains("nodes"));
  EXPECT_THAT(reason(plan, "short"), HasSubstr("short by"));
}

TEST(Planner, LessThanWasAskedForIsSaid) {
  const ModelFacts llama = facts("llama-3.1-70b");
  const Plan plan = plan_of(llama, machine("H200"));
  EXPECT_EQ(plan.verdict, Verdict::kFitsReduced);
  EXPECT_NEAR(static_cast<double>(plan.context_tokens), 25'000, 1'500);
  EXPECT_THAT(reason(plan, "context_reduced"), HasSubstr("a context of 131072 tokens needs"));
  EXPECT_EQ(plan_of(llama, machine("H200"), {.context = 20'000}).verdict, Verdict::kFits);
  EXPECT_EQ(plan_of(llama, machine("2xH200")).verdict, Verdict::kFits);
}

TEST(Planner, FormsThatThisBuildCannotStartComeOnlyWhereTheyAreNeeded) {
  const ModelFacts r1 = facts("deepseek-r1");
  const Plan many = plan_of(r1, machine("8xH200"), {.concurrency = 1024});
  EXPECT_EQ(many.parallel.dp, 8);
  EXPECT_EQ(many.parallel.ep, 8);
  EXPECT_FALSE(many.runnable);
  EXPECT_THAT(reason(many, "form_not_startable"), HasSubstr("data-parallel attention"));
  const PlanRequest started{.concurrency = 1024, .runnable_only = true};
  const Plan runnable = plan_of(r1, machine("8xH200"), started);
  EXPECT_EQ(runnable.parallel.tp, 8);
  EXPECT_TRUE(runnable.runnable);
  EXPECT_EQ(runnable.verdict, Verdict::kFitsReduced);
}

TEST(Planner, FormatsThatThisBuildCannotLoadSaySo) {
  const Plan plan = plan_of(facts("kimi-k2-thinking"), machine("8xH200"));
  EXPECT_EQ(plan.verdict, Verdict::kFits);
  EXPECT_FALSE(plan.runnable);
  EXPECT_THAT(reason(plan, "not_loadable"), HasSubstr("GPUs have no kernels for the format int4"));
  EXPECT_TRUE(plan.command.empty());
}

TEST(Planner, ContradictionsAreRefused) {
  const ModelFacts qwen = facts("qwen2.5-7b");
  const Machine eight = machine_of(machine("8xH200"), 1, "");
  EXPECT_THAT(make_plan(qwen, eight, {.context = 1'000'000}).status().message(),
              HasSubstr("at most 32768"));
  EXPECT_THAT(make_plan(qwen, eight, {.tp = 8}).status().message(), HasSubstr("legal: 1, 2, 4"));
}

TEST(Planner, HostBuffersMustFitTheControlGroup) {
  Inventory inventory = machine("8xH200");
  inventory.host.memory_bytes = int64_t{1} << 40;
  inventory.host.cgroup_memory_bytes = int64_t{256} << 20;
  const Plan plan = plan_of(facts("deepseek-r1"), inventory);
  EXPECT_EQ(plan.verdict, Verdict::kRefused);
  EXPECT_THAT(reason(plan, "host_memory"), HasSubstr("0.3 GB may be used"));
}

TEST(Planner, WithoutGpusTheHostsMemoryDecides) {
  Inventory inventory;
  inventory.host.memory_bytes = int64_t{64} << 30;
  inventory.host.cpus = 16;
  const Plan fits = plan_of(facts("qwen2.5-7b"), inventory);
  EXPECT_NE(fits.verdict, Verdict::kRefused);
  EXPECT_TRUE(fits.runnable);
  inventory.host.cgroup_memory_bytes = int64_t{8} << 30;
  EXPECT_EQ(plan_of(facts("qwen2.5-7b"), inventory).verdict, Verdict::kRefused);
}

// Whatever the machine: shares add up, nothing exceeds what is free, and more memory is never
// worse.
TEST(Planner, RandomMachines) {
  const unsigned seed = std::random_device{}();
  std::mt19937 random(seed);
  const std::vector<std::string> kinds{"H200", "H100-80GB", "L40S", "L4", "A100-40GB", "4090"};
  const std::vector<ModelFacts> models{
      facts("qwen2.5-7b"), facts("qwen3-30b-a3b"), facts("llama-3.1-70b"), facts("qwen3-0.6b")};
  const auto pick = [&random](size_t n) { return static_cast<size_t>(random() % n); };
  for (int round = 0; round < 60; ++round) {
    std::string hardware;
    for (size_t part = 0; part <= pick(2); ++part) {
      hardware += (part > 0 ? "+" : "") + std::to_string(1 + pick(4)) + "x" + kinds[pick(6)];
    }
    Inventory inventory = machine(hardware);
    for (Gpu& gpu : inventory.gpus) {
      gpu.memory_used_bytes = static_cast<int64_t>(static_cast<double>(*gpu.memory_total_bytes) *
                                                   static_cast<double>(pick(100)) / 150.0);
    }
    const ModelFacts& model = models[pick(models.size())];
    PlanRequest request{.goal = static_cast<Goal>(pick(3)), .quick = true};
    request.concurrency = static_cast<int64_t>(pick(2) * pick(200));
    const Plan plan = plan_of(model, inventory, request);
    const std::string where =
        fmt::format("{} on {}, seed {}, round {}", model.name, hardware, seed, round);
    EXPECT_EQ(plan.gpus.size(), inventory.gpus.size()) << where;
    for (size_t i = 0; i < plan.gpus.size(); ++i) {
      const GpuShare& s = plan.gpus[i];
      EXPECT_FALSE(s.reason.empty()) << where;
      if (s.used) {
        EXPECT_EQ(s.weights + s.kv + s.activations + s.graphs + s.context + s.spare,
                  plan.machine.gpus[i].free_bytes)
            << where;
        EXPECT_GE(s.spare, 0) << where;
      }
    }
    if (plan.verdict != Verdict::kRefused) {
      EXPECT_GT(plan.context_tokens, 0) << where;
      EXPECT_LE(plan.context_tokens, plan.kv_tokens) << where;
      for (Gpu& gpu : inventory.gpus) {
        gpu.memory_used_bytes = 0;
      }
      const Plan idle = plan_of(model, inventory, request);
      EXPECT_NE(idle.verdict, Verdict::kRefused) << where;
    }
  }
}

TEST(PlanJson, HasThePromisedFields) {
  const ModelFacts model = facts("qwen2.5-7b");
  const Plan plan = plan_of(model, machine("2xH200"));
  const Json json = plan_json(model, *model_shape(model), plan);
  const auto keys = [](const Json& object) {
    std::vector<std::string> names;
    for (const JsonMember& member : object.as_object()) {
      names.push_back(member.key);
    }
    return names;
  };
  EXPECT_THAT(keys(json),
              testing::ElementsAre("schema",
                                   "verdict",
                                   "runnable",
                                   "model",
                                   "goal",
                                   "hardware",
                                   "parallel",
                                   "gpus",
                                   "context_tokens",
                                   "kv_tokens",
                                   "max_sequences",
                                   "shm_bytes",
                                   "host_bytes",
                                   "short_by_bytes",
                                   "predicted",
                                   "reasons",
                                   "alternatives",
                                   "command",
                                   "docker_command"));
  EXPECT_THAT(keys(json.find("gpus")->as_array().front()),
              testing::IsSupersetOf({"index",
                                     "uuid",
                                     "used",
                                     "reason",
                                     "total_bytes",
                                     "free_bytes",
                                     "weights_bytes",
                                     "kv_bytes",
                                     "activations_bytes",
                                     "graphs_bytes",
                                     "context_bytes",
                                     "spare_bytes"}));
  EXPECT_THAT(keys(*json.find("predicted")),
              testing::ElementsAre("source",
                                   "batch",
                                   "decode_tokens_per_second",
                                   "prefill_tokens_per_second",
                                   "step_seconds"));
  EXPECT_EQ(json.find("schema")->as_int(), 1);
  EXPECT_EQ(json.find("shm_bytes")->as_int(), 0);
}

}  // namespace
}  // namespace tutti
