package main

// usage is what -h prints.
const usage = `mixtral runs a Mixtral model as a Gorgonia graph.

  mixtral                              a tiny trained model, embedded here, answers tasks it never saw in training
  mixtral [flags] -prompt TEXT         continues a text, printing it as it comes
  mixtral [flags] -ids 5,6,7           continues token ids; needs no tokenizer.json
  mixtral [flags] -tokenize TEXT       prints the token ids of a text as a JSON array
  mixtral [flags] -detokenize 5,6,7    prints the text of token ids

A TEXT or list of ids that is - comes from standard input; -prompt - drops one line break at its end.

Model
  -model DIR        folder with config.json, model.safetensors (or model.safetensors.index.json and its shards) and
                    tokenizer.json; without it the embedded model. -tokenize and -detokenize read tokenizer.json alone.
  -device NAME      auto (default) or cpu; in a program built with -tags cu also cuda, and auto takes a GPU if there is one
  -pack             copies the weights into the order that the CPU's kernels read fastest: long prompts run faster, answers
                    do not; it takes as much memory again, and time before the first token

Generation
  -n N              new tokens, 64 by default; 0 runs the prompt only. -prompt stops earlier at an end-of-text token of
                    config.json and where the context is full. -ids stops at neither: it gives N new ids, or an error if
                    the prompt and they do not fit into the context.
  -temperature T    0 (default): the likeliest token, of equal ones the lowest id; else draw one from softmax(logits/T)
  -top-p P          draw from the fewest likeliest tokens whose probabilities sum to P; 1 (default): from all
  -seed S           of the draws and of the tasks; another one each time by default

Looking inside
  -dump FILE        with -ids: a safetensors file with "logits" (prompt positions × vocabulary, F32) and "ids" (I32, the
                    prompt and what follows it)
  -load             prints how many tokens each expert of each layer got, prompt and answer together
  -load-plot FILE   draws that as a PNG heat map
  -cpuprofile FILE  writes a CPU profile for go tool pprof
  -h                this text

The answer goes to standard output, speeds to standard error; of the tasks both go to standard output. A prompt's
special tokens, such as <s> in front, are those of tokenizer.json; ids stand as they are given. An interrupt (Ctrl-C)
ends the generation after the current step. Exit status: 0; 1 after an error, which is one line on standard error; 130
after an interrupt.

Examples
  mixtral
  mixtral -prompt "sum 712 68 ="
  mixtral -model ~/models/Mixtral-8x7B-v0.1 -prompt "The capital of France is" -n 32
  mixtral -model DIR -prompt - -temperature 0.8 -top-p 0.95 -seed 7 < story.txt
  mixtral -model DIR -ids 1,415,5565 -n 24 -dump out.safetensors
  mixtral -tokenize "roman 1949 =" | mixtral -detokenize -
  mixtral -load -load-plot load.png
`
