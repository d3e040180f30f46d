// Fills the table from the functions of the surrounding per-ISA namespace.

template <WeightType kType, int kRows>
constexpr MatMulKernel SelectKernel() {
  if constexpr (kTileLayout<kType>.bits == 0) {
    return MatMulFloat<kType, kRows>;
  } else {
    return QuantizedKernel<kType, kRows>();
  }
}

// Kernels of panels of 1..kRows rows.
template <WeightType kType, int kRows>
constexpr void AddKernels(KernelTable* table) {
  table->matmul[static_cast<int>(kType)][kRows] = SelectKernel<kType, kRows>();
  if constexpr (kRows > 1) AddKernels<kType, kRows - 1>(table);
}
template <WeightType kType>
constexpr void AddType(KernelTable* table) {
  constexpr int kRows = kTileLayout<kType>.bits == 0 ? kFloatPanelRows : kQuantizedPanelRows;
  table->activation[static_cast<int>(kType)] = kTileLayout<kType>.activation;
  table->panel_rows[static_cast<int>(kType)] = kRows;
  AddKernels<kType, kRows>(table);
}

constexpr KernelTable MakeKernelTable(const char* name) {
  KernelTable table;
  table.name = name;
  AddType<WeightType::kF32>(&table);
  AddType<WeightType::kF16>(&table);
  AddType<WeightType::kBF16>(&table);
  AddType<WeightType::kQ4_0>(&table);
  AddType<WeightType::kQ4_1>(&table);
  AddType<WeightType::kQ5_0>(&table);
  AddType<WeightType::kQ5_1>(&table);
  AddType<WeightType::kQ8_0>(&table);
  AddType<WeightType::kQ4_K>(&table);
  AddType<WeightType::kQ5_K>(&table);
  AddType<WeightType::kQ6_K>(&table);
  table.rms_norm = RmsNorm;
  table.layer_norm = LayerNorm;
  table.relu = Relu;
  table.gelu_tanh = GeluTanh;
  table.add_row = AddRow;
  table.silu_mul = SiluMul;
  table.write_sums = WriteSums;
  table.write_panel_row = WritePanelRow;
  table.rotate_head = Rotate;
  table.attend = Attend;
  table.merge = Merge;
  table.finish = Finish;
  table.peak_integers = kPeakIntegers;
  table.peak_bf16 = PeakFloat;
  table.peak_floats = PeakFloat;
  return table;
}
