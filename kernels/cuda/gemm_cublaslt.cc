#include <cublasLt.h>

#include <cstring>

#include "kernels/cuda/gemm.h"

namespace reprise::cuda {
namespace {

constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

struct GemmCommand {
  cublasLtHandle_t handle;
  void* workspace;
  Bf16Matrix x;
  Bf16Matrix weight;
  ProductOutput out;
  cublasLtMatmulAlgo_t algorithm;
};

// The library's objects of one product. cuBLASLt is column-major: what it is asked for is out^T = weight x^T.
class Product {
 public:
  explicit Product(const GemmCommand& command) : command_(command) {}
  ~Product() {
    if (preference_ != nullptr) cublasLtMatmulPreferenceDestroy(preference_);
    for (cublasLtMatrixLayout_t layout : {weight_, x_, out_}) {
      if (layout != nullptr) cublasLtMatrixLayoutDestroy(layout);
    }
    if (operation_ != nullptr) cublasLtMatmulDescDestroy(operation_);
  }
  Product(const Product&) = delete;
  Product& operator=(const Product&) = delete;

  cublasStatus_t Describe() {
    const GemmCommand& c = command_;
    const cublasOperation_t transposed = CUBLAS_OP_T;
    Do(cublasLtMatmulDescCreate(&operation_, CUBLAS_COMPUTE_32F, CUDA_R_32F));
    Set(CUBLASLT_MATMUL_DESC_TRANSA, transposed);
    if (c.out.bias != nullptr) {
      Set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
      Set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, c.out.bias);
      Set(CUBLASLT_MATMUL_DESC_BIAS_DATA_TYPE, CUDA_R_32F);
    }
    Do(cublasLtMatrixLayoutCreate(&weight_, CUDA_R_16BF, c.weight.columns, c.weight.rows, c.weight.stride));
    Do(cublasLtMatrixLayoutCreate(&x_, CUDA_R_16BF, c.x.columns, c.x.rows, c.x.stride));
    Do(cublasLtMatrixLayoutCreate(&out_, CUDA_R_32F, c.weight.rows, c.x.rows, c.out.stride));
    Do(cublasLtMatmulPreferenceCreate(&preference_));
    if (status_ == CUBLAS_STATUS_SUCCESS) {
      status_ = cublasLtMatmulPreferenceSetAttribute(preference_, CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES,
                                                     &kWorkspaceBytes, sizeof(kWorkspaceBytes));
    }
    return status_;
  }

  cublasStatus_t Choose(cublasLtMatmulAlgo_t* algorithm) {
    cublasLtMatmulHeuristicResult_t result;
    int found = 0;
    Do(cublasLtMatmulAlgoGetHeuristic(command_.handle, operation_, weight_, x_, out_, out_, preference_, 1,
                                      &result, &found));
    if (status_ == CUBLAS_STATUS_SUCCESS && found == 0) status_ = CUBLAS_STATUS_NOT_SUPPORTED;
    if (status_ == CUBLAS_STATUS_SUCCESS) *algorithm = result.algo;
    return status_;
  }

  cublasStatus_t Run(cudaStream_t stream) {
    const GemmCommand& c = command_;
    const float alpha = 1.0f;
    const float beta = c.out.accumulate != 0 ? 1.0f : 0.0f;
    Do(cublasLtMatmul(c.handle, operation_, &alpha, c.weight.data, weight_, c.x.data, x_, &beta, c.out.data,
                      out_, c.out.data, out_, &c.algorithm, c.workspace, kWorkspaceBytes, stream));
    return status_;
  }

 private:
  void Do(cublasStatus_t status) {
    if (status_ == CUBLAS_STATUS_SUCCESS) status_ = status;
  }
  template <typename T>
  void Set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    if (status_ == CUBLAS_STATUS_SUCCESS)
      status_ = cublasLtMatmulDescSetAttribute(operation_, attribute, &value, sizeof(value));
  }

  const GemmCommand& command_;
  cublasLtMatmulDesc_t operation_ = nullptr;
  cublasLtMatrixLayout_t weight_ = nullptr, x_ = nullptr, out_ = nullptr;
  cublasLtMatmulPreference_t preference_ = nullptr;
  cublasStatus_t status_ = CUBLAS_STATUS_SUCCESS;
};

bool Choose(GemmCommand* command) {
  Product product(*command);
  return product.Describe() == CUBLAS_STATUS_SUCCESS &&
         product.Choose(&command->algorithm) == CUBLAS_STATUS_SUCCESS;
}

cudaError_t RunGemm(const void* command, cudaStream_t stream) {
  Product product(*static_cast<const GemmCommand*>(command));
  cublasStatus_t status = product.Describe();
  if (status == CUBLAS_STATUS_SUCCESS) status = product.Run(stream);
  return status == CUBLAS_STATUS_SUCCESS ? cudaSuccess : cudaErrorLaunchFailure;
}

class CublasLtGemm final : public Gemm {
 public:
  CublasLtGemm(Stream& stream, cublasLtHandle_t handle)
      : stream_(stream), handle_(handle), workspace_(stream) {}
  ~CublasLtGemm() override { cublasLtDestroy(handle_); }

  Status Reserve() override { return workspace_.Reserve(kWorkspaceBytes); }
  bool Multiply(const Bf16Matrix& x, const Bf16Matrix& weight, const ProductOutput& out) override {
    GemmCommand command;
    std::memset(static_cast<void*>(&command), 0, sizeof(command));  // padding too: commands are compared
    command.handle = handle_;
    command.workspace = workspace_.Get(kWorkspaceBytes);
    command.x = x;
    command.weight = weight;
    command.out = out;
    if (!Choose(&command)) return false;
    stream_.Record(&RunGemm, &command, sizeof(command));
    return true;
  }

 private:
  Stream& stream_;
  cublasLtHandle_t handle_;
  DeviceBuffer workspace_;
};

}  // namespace

std::unique_ptr<Gemm> Gemm::Create(Stream& stream) {
  cublasLtHandle_t handle = nullptr;
  if (cublasLtCreate(&handle) != CUBLAS_STATUS_SUCCESS) return nullptr;
  return std::make_unique<CublasLtGemm>(stream, handle);
}

}  // namespace reprise::cuda
