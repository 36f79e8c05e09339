# avvik_embed_cl(OUTPUT LIST): at build time a C file OUTPUT that holds kernels/*.cl as strings, kernel_types.h first, so
# that OpenCL needs no include path. LIST gets the paths that it is made of. Needs nothing but CMake: the second half of
# this file is the script that the build runs (cmake -P).
if(NOT CMAKE_SCRIPT_MODE_FILE)
  set(AVVIK_EMBED_CL_SCRIPT ${CMAKE_CURRENT_LIST_FILE})
  function(avvik_embed_cl output list)
    set(folder ${CMAKE_SOURCE_DIR}/kernels)
    file(GLOB sources CONFIGURE_DEPENDS ${folder}/*.cl)
    list(SORT sources)
    list(PREPEND sources ${folder}/kernel_types.h)
    string(REPLACE ";" "|" joined "${sources}")
    add_custom_command(OUTPUT ${output}
      COMMAND ${CMAKE_COMMAND} "-DOUTPUT=${output}" "-DSOURCES=${joined}" -P ${AVVIK_EMBED_CL_SCRIPT}
      DEPENDS ${sources} ${AVVIK_EMBED_CL_SCRIPT} COMMENT "Embedding OpenCL kernels" VERBATIM)
    set(${list} ${sources} PARENT_SCOPE)
  endfunction()
  return()
endif()

# Bytes as numbers (the sources are ASCII): a string literal would have to stay under the 4095 characters that C11 promises. `#line` makes the
# device's compiler name our files in its messages.
set(content "/* Made from the .cl files of kernels/ by kernels/embed_cl.cmake. */\n#include \"opencl_program.h\"\n\n")
set(table "")
set(count 0)
string(REPLACE "|" ";" SOURCES "${SOURCES}")
foreach(source ${SOURCES})
  get_filename_component(name ${source} NAME)
  file(READ ${source} text HEX)
  string(HEX "#line 1 \"${name}\"\n" head)
  string(REGEX REPLACE "(................................................................)" "\\1\n    " text "${head}${text}00")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," text "${text}")
  string(APPEND content "static const char source_${count}[] = {\n    ${text}};\n")
  string(APPEND table "    source_${count},\n")
  math(EXPR count "${count} + 1")
endforeach()
string(APPEND content "\nconst char *const avvik__cl_sources[] = {\n${table}};\n"
  "const unsigned avvik__n_cl_sources = ${count};\n")
file(WRITE ${OUTPUT} "${content}")
