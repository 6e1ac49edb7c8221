import torchvision_cpu

# Tests import compressai themselves, and in any order.
torchvision_cpu.ensure()
