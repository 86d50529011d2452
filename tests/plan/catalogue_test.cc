#include "plan/catalogue.h"

#include <set>

#include <gmock/gmock.h>

#include "plan/model_facts.h"
#include "plan/rank_need.h"

namespace tutti {
namespace {

using testing::HasSubstr;

Catalogue catalogue() {
  Result<Catalogue> loaded = Catalogue::load();
  EXPECT_TRUE(loaded.ok()) << loaded.status().message();
  return std::move(loaded).value();
}

TEST(Catalogue, EveryModelInEveryFormatCanBePlanned) {
  const Catalogue all = catalogue();
  ASSERT_GE(all.models().size(), 40U);
  for (const CatalogueModel& model : all.models()) {
    for (const CatalogueFormat& format : model.formats) {
      const Result<ModelFacts> facts = facts_of({.model = &model, .format = format});
      ASSERT_TRUE(facts.ok()) << model.name << ":" << format.name << ": "
                              << facts.status().message();
      EXPECT_EQ(facts->counted, !facts->not_loadable.empty())
          << model.name << ":" << format.name << ": " << facts->not_loadable;
    }
  }
}

TEST(Catalogue, ModelsAreFoundByNameHubAndAlias) {
  const Catalogue all = catalogue();
  for (const char* name : {"deepseek-r1", "DeepSeek-R1", "deepseek-ai/DeepSeek-R1"}) {
    const Result<CatalogueChoice> found = all.find(name);
    ASSERT_TRUE(found.ok()) << found.status().message();
    EXPECT_EQ(found->model->name, "deepseek-r1");
    EXPECT_EQ(found->format.name, "fp8");
  }
  EXPECT_EQ(all.find("deepseek-r1:awq-int4")->format.name, "awq-int4");
  EXPECT_EQ(all.find("Qwen/Qwen3-8B-FP8")->format.name, "fp8");
  EXPECT_EQ(all.find("GOT-OCR2_0")->model->name, "got-ocr2");
}

TEST(Catalogue, WhatIsNotThereIsNamedWithWhatIsClose) {
  const Catalogue all = catalogue();
  const auto said = [&](const char* name) { return all.find(name).status().message(); };
  EXPECT_THAT(said("deepseek-r1-distill-qwen"), HasSubstr("deepseek-r1-distill-qwen-32b"));
  EXPECT_THAT(said("deepseek-r1:q17"), HasSubstr("known are fp8, awq-int4"));
  EXPECT_THAT(said("gpt-9"), HasSubstr("tutti models"));
  EXPECT_THAT(said("deepsek-r1"), HasSubstr("close are deepseek-r1;"));
  EXPECT_THAT(said("deepseek-r1:7b"), HasSubstr("close are deepseek-r1-distill-qwen-7b"));
  EXPECT_THAT(said("deepseek-r1-awq"), HasSubstr("close are deepseek-r1;"));
  EXPECT_THAT(said("llama3:8b"), HasSubstr("close are llama-3.1-8b-instruct;"));
  EXPECT_THAT(said("meta/Qwen2.5-7B"), HasSubstr("close are qwen2.5-7b-instruct;"));
  EXPECT_EQ(all.find("gpt-9").status().code(), StatusCode::kNotFound);
}

TEST(Catalogue, XinferencesNamesLeadToFormatsOfTheirModels) {
  const Catalogue all = catalogue();
  std::set<std::string> keys;
  for (const XinferenceName& row : all.xinference()) {
    EXPECT_TRUE(all.find(row.model + ":" + row.stored).ok())
        << row.name << " " << row.size << " " << row.format << " " << row.quantization << ": "
        << row.model << ":" << row.stored;
    EXPECT_TRUE(
        keys.insert(row.name + "|" + row.size + "|" + row.format + "|" + row.quantization).second)
        << row.name << " " << row.quantization << " is there twice";
  }
  EXPECT_TRUE(keys.contains("deepseek-r1|671|ggufv2|UD-IQ1_S"));
  EXPECT_TRUE(keys.contains("deepseek-r1-distill-qwen|1_5|pytorch|none"));
}

TEST(Catalogue, BadTextIsRefusedByItsPlace) {
  const auto said = [](const char* text) { return Catalogue::parse(text).status().message(); };
  EXPECT_THAT(said("{}"), HasSubstr("models is missing"));
  EXPECT_THAT(said(R"({"models":[{"name":"a"}],"xinference":[]})"), HasSubstr("models[0]"));
  EXPECT_THAT(
      said(
          R"({"models":[{"name":"a","family":"f","hub":"h","config":{},"formats":[{"name":"q17"}]}],"xinference":[]})"),
      HasSubstr("q17"));
  EXPECT_THAT(
      said(
          R"({"models":[],"xinference":[{"name":"x","size":"7","model":"b","forms":{"awq":{"Int4":"awq-int4"}}}]})"),
      HasSubstr("no model b"));
}

}  // namespace
}  // namespace tutti
