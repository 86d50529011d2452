#include "base/option_names.h"

#include <gtest/gtest.h>

namespace tutti {
namespace {

TEST(OptionNames, AreSpelledByWhoShowsThem) {
  EXPECT_EQ(spell_options("‹kv_memory› 0: wanted more; see ‹tp›", &as_flag),
            "--kv-memory 0: wanted more; see --tp");
  const auto as_is = [](std::string_view name) { return std::string(name); };
  EXPECT_EQ(spell_options("‹kv_memory›", as_is), "kv_memory");
}

TEST(OptionNames, MarksAroundAnythingElseAreText) {
  for (const char* text : {"", "no option", "‹", "›", "‹›", "‹Two words›", "‹a", "a›", "‹é›"}) {
    EXPECT_EQ(spell_options(text, &as_flag), text);
  }
  EXPECT_EQ(spell_options("‹‹tp››", &as_flag), "‹--tp›");
}

}  // namespace
}  // namespace tutti
