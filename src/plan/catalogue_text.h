// src/plan/catalogue.json, compiled in.
#pragma once

namespace tutti {

extern const char* const kCatalogueText;

}  // namespace tutti
