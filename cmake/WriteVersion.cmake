# Run at every build: writes the version as a C++ file, if it has changed.
#   cmake -DSOURCE=DIR -DBASE=0.1.0 -DOUTPUT=version.cc -P cmake/WriteVersion.cmake
# Tag v0.2.0: "0.2.0"; 5 commits behind it: "0.2.0+5.g1a2b3c4"; without a tag: "BASE+g1a2b3c4"; with changes that are not
# committed ".dirty" behind it. BASE alone where there is no git, or the source is no checkout of its own (a tarball).
set(version ${BASE})
find_program(git git)
if(git)
  execute_process(COMMAND ${git} -C ${SOURCE} rev-parse --show-toplevel
    OUTPUT_VARIABLE top OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  file(REAL_PATH "${SOURCE}" source)
  if(top AND source STREQUAL top)
    execute_process(COMMAND ${git} -C ${SOURCE} describe --tags --match "v[0-9]*" --long --abbrev=7 --always --dirty=.dirty
      OUTPUT_VARIABLE described OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
    if(described MATCHES "^v(.+)-([0-9]+)-(g[0-9a-f]+)(\\.dirty)?$")
      set(version ${CMAKE_MATCH_1})
      if(NOT CMAKE_MATCH_2 EQUAL 0 OR CMAKE_MATCH_4)
        set(version ${CMAKE_MATCH_1}+${CMAKE_MATCH_2}.${CMAKE_MATCH_3}${CMAKE_MATCH_4})
      endif()
    elseif(described MATCHES "^[0-9a-f]+(\\.dirty)?$")
      set(version ${BASE}+g${described})
    endif()
  endif()
endif()
set(text "#include \"apps/version.h\"\n\nnamespace tutti {\n\nconst char* program_version() {\n  return \"${version}\";\n}\n\n}  // namespace tutti\n")
set(before "")
if(EXISTS ${OUTPUT})
  file(READ ${OUTPUT} before)
endif()
if(NOT text STREQUAL before)
  file(WRITE ${OUTPUT} "${text}")
endif()
