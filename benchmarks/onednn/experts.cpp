// The three products of each expert by oneDNN, to compare the works groupedmatmul-ffn, experts and moe of the benchmarks with: tokens
// spread evenly over E experts, K for each, SwiGLU and routing left out. Weights lie in the order that oneDNN asks for.
//
//	g++ -O2 experts.cpp -o experts -ldnnl
//	OMP_NUM_THREADS=2 ./experts f32 1024 3584 8 2 1 8 64 512
//
// The arguments are f32 or bf16, H, F, E, K and numbers of tokens. ONEDNN_MAX_CPU_ISA=AVX2 (AVX512_CORE, AVX512_CORE_AMX, …) keeps
// oneDNN from using more of the CPU than a variant of ours does. A line of JSON for each number of tokens has the median and the least
// time in the fields that `go run ./benchmarks -json` has them in.
#include <dnnl.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <string>
#include <vector>

using dnnl::memory;

static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
static memory::data_type dtype;

// Product is x·w of M rows of D elements and a weight with N columns.
struct Product {
	dnnl::matmul::primitive_desc description;
	dnnl::matmul multiply;

	static dnnl::matmul::primitive_desc describe(long M, long D, long N) {
		using tag = memory::format_tag;
		memory::desc x({M, D}, dtype, tag::ab), w({D, N}, dtype, tag::any), out({M, N}, dtype, tag::ab);
		return {dnnl::matmul::desc(x, w, out), cpu};
	}

	Product(long M, long D, long N) : description(describe(M, D, N)), multiply(description) {}

	void run(dnnl::stream &s, memory &x, memory &w, memory &out) const {
		multiply.execute(s, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, w}, {DNNL_ARG_DST, out}});
	}
};

// operand is memory filled with random numbers of both signs near 1/100: as float32 or bfloat16, whose upper bits are the same.
static memory operand(const memory::desc &of) {
	static std::mt19937 random(1);
	memory m(of, cpu);
	auto *words = static_cast<uint16_t *>(m.get_data_handle());
	for (size_t i = 0; i < of.get_size() / 2; i++) {
		bool lower = dtype == memory::data_type::f32 && i % 2 == 0;
		words[i] = lower ? uint16_t(random()) : uint16_t(0x3c00 | (random() & 0x807f));
	}
	return m;
}

static double seconds() {
	return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

static int measure(int count, char **arguments) {
	if (count < 7) {
		std::fprintf(stderr, "usage: experts f32|bf16 H F E K tokens...\n");
		return 2;
	}
	const std::string name = arguments[1];
	dtype = name == "bf16" ? memory::data_type::bf16 : memory::data_type::f32;
	const long H = std::atol(arguments[2]), F = std::atol(arguments[3]), E = std::atol(arguments[4]), K = std::atol(arguments[5]);
	dnnl::stream stream(cpu);
	for (int a = 6; a < count; a++) {
		const long T = std::atol(arguments[a]), used = std::min(E, T * K), rows = T * K / used;
		const Product first(rows, H, F), second(rows, F, H);
		struct Expert {
			memory gate, up, down;
		};
		std::vector<Expert> experts;
		for (long e = 0; e < used; e++) {
			experts.push_back({operand(first.description.weights_desc()), operand(first.description.weights_desc()),
				operand(second.description.weights_desc())});
		}
		memory x = operand(first.description.src_desc()), gates = operand(first.description.dst_desc()),
			   ups = operand(first.description.dst_desc()), y = operand(second.description.dst_desc());
		std::vector<double> times;
		for (double begin = 0; times.size() < 5 || seconds() - begin < 0.25;) {
			const double start = seconds();
			for (auto &e : experts) {
				first.run(stream, x, e.gate, gates);
				first.run(stream, x, e.up, ups);
				second.run(stream, ups, e.down, y);
			}
			stream.wait();
			if (begin == 0) {
				begin = seconds(); // the first run warms up
				continue;
			}
			times.push_back(seconds() - start);
		}
		std::sort(times.begin(), times.end());
		const double median = times[times.size() / 2];
		std::printf("{\"work\":\"onednn-ffn\",\"shape\":\"H=%ld,F=%ld,E=%ld,K=%ld\",\"tokens\":%ld,\"dtype\":\"%s\",\"backend\":\"%s\","
					"\"ns\":%.0f,\"min_ns\":%.0f,\"reps\":%zu,\"gflops\":%.4g,\"gbs\":%.4g}\n",
			H, F, E, K, T, name.c_str(), first.description.impl_info_str(), median * 1e9, times[0] * 1e9, times.size(),
			6e-9 * H * F * T * K / median, 3e-9 * used * H * F * (name == "bf16" ? 2 : 4) / median);
		std::fflush(stdout);
	}
	return 0;
}

int main(int count, char **arguments) {
	try {
		return measure(count, arguments);
	} catch (const dnnl::error &e) { // as for bf16 on a CPU without AVX-512
		std::fprintf(stderr, "experts: oneDNN: %s\n", e.what());
		return 1;
	}
}
