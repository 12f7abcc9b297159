"""CuPy: array arithmetic, a raw kernel, both kinds of memory pools, pinned memory and a stream of its own."""
import answers
import cupy
import numpy as np

SOURCE = r"""
extern "C" __global__ void scale(const float *source, float *result, float factor, int count) {
    int i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count) result[i] = source[i] * factor + i % 7;
}
"""
COUNT = 4 << 20

numbers = np.random.default_rng(7).standard_normal(COUNT, np.float32)
pinned = cupy.cuda.alloc_pinned_memory(numbers.nbytes)
staged = np.frombuffer(pinned, np.float32, COUNT)
staged[...] = numbers

stream = cupy.cuda.Stream(non_blocking=True)
with stream:
    source = cupy.empty(COUNT, np.float32)
    source.set(staged, stream=stream)
    result = cupy.empty_like(source)
    scale = cupy.RawKernel(SOURCE, "scale")
    scale((COUNT // 256,), (256,), (source, result, np.float32(1.5), np.int32(COUNT)))
stream.synchronize()
# A fused multiply-add rounds once, NumPy twice.
if not np.allclose(result.get(), numbers * 1.5 + np.arange(COUNT) % 7, atol=1e-5):
    raise SystemExit("the raw kernel's result is wrong")

square = result.reshape(2048, 2048)
product = square @ square.T
summary = cupy.sqrt(cupy.abs(product)).sum(axis=0)

with cupy.cuda.using_allocator(cupy.cuda.MemoryAsyncPool().malloc):
    other = cupy.sort(cupy.asarray(numbers))
    ordered = other.get()
    del other
cupy.cuda.Device().synchronize()
if not np.array_equal(ordered, np.sort(numbers)):
    raise SystemExit("the sorted numbers are wrong")
cupy.get_default_memory_pool().free_all_blocks()
answers.answer(digest=answers.digest(result.get(), product.get(), summary.get(), ordered))
