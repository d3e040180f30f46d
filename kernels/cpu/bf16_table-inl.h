// Puts the surrounding namespace's products of bfloat16, MatMulBf16, in the place of those that widen
// weights.

// Kernels of panels of 1..kRows rows.
template <int kRows>
constexpr void AddBf16Kernels(KernelTable* table) {
  table->matmul[static_cast<int>(WeightType::kBF16)][kRows] = MatMulBf16<kRows>;
  if constexpr (kRows > 1) AddBf16Kernels<kRows - 1>(table);
}

constexpr KernelTable WithBf16(KernelTable table) {
  table.activation[static_cast<int>(WeightType::kBF16)] = ActivationKind::kBf16;
  table.panel_rows[static_cast<int>(WeightType::kBF16)] = kBf16PanelRows;
  AddBf16Kernels<kBf16PanelRows>(&table);
  table.peak_bf16 = PeakBf16;
  return table;
}
