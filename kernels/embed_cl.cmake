# avvik_embed_cl(OUTPUT LIST): a C file that holds every kernels/*.cl as a string.
function(avvik_embed_cl output list)
  file(WRITE ${output} "/* placeholder */\ntypedef int avvik__no_cl;\n")
endfunction()
