// ROBE, tensor trains, sums of pairs and distinct ids under XLA: FFI calls of the
// same core. (Rows of tables have no call: XLA's code is as fast.)

#include <string>
#include <vector>

#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "ffi/handlers.h"
#include "tensorflow/chunks.h"
#include "tensorflow/compiler/tf2xla/xla_op_kernel.h"
#include "tensorflow/compiler/tf2xla/xla_op_registry.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "xla/hlo/builder/xla_builder.h"

// Declared in xla/ffi/ffi_api.h, which includes headers that TensorFlow's
// package does not contain.
namespace xla::ffi {
const XLA_FFI_Api* GetXlaFfiApi();
}

XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), "keras_pss_distinct_ids",
                         "Host", keras_pss_distinct_ids_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), "keras_pss_pair_sums",
                         "Host", keras_pss_pair_sums_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(),
                         "keras_pss_pair_sums_gradient", "Host",
                         keras_pss_pair_sums_gradient_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), "keras_pss_robe_lookup",
                         "Host", keras_pss_robe_lookup_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(), "keras_pss_robe_gradient",
                         "Host", keras_pss_robe_gradient_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(),
                         "keras_pss_tensor_train_lookup", "Host",
                         keras_pss_tensor_train_lookup_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(),
                         "keras_pss_tensor_train_gradient", "Host",
                         keras_pss_tensor_train_gradient_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(),
                         "keras_pss_packed_robe_lookup", "Host",
                         keras_pss_packed_robe_lookup_cpu);
XLA_FFI_REGISTER_HANDLER(xla::ffi::GetXlaFfiApi(),
                         "keras_pss_packed_tensor_train_lookup", "Host",
                         keras_pss_packed_tensor_train_lookup_cpu);

namespace keras_pss {
namespace {

using tensorflow::OpKernelConstruction;
using tensorflow::TensorShape;
using tensorflow::XlaOpKernel;
using tensorflow::XlaOpKernelContext;

// Emits a call of `target` with all inputs.
xla::XlaOp called(XlaOpKernelContext* context, const std::string& target,
                  const xla::Shape& out, const std::string& attributes) {
  std::vector<xla::XlaOp> inputs;
  for (int i = 0; i < context->num_inputs(); ++i) {
    inputs.push_back(context->Input(i));
  }
  return xla::CustomCall(
      context->builder(), target, inputs, out, attributes,
      /*has_side_effect=*/false, /*output_operand_aliasing=*/{},
      /*literal=*/nullptr, xla::CustomCallSchedule::SCHEDULE_NONE,
      xla::CustomCallApiVersion::API_VERSION_TYPED_FFI);
}

// The same with one output, of the first input's type.
void call(XlaOpKernelContext* context, const std::string& target,
          const TensorShape& shape, const std::string& attributes) {
  const xla::Shape out = xla::ShapeUtil::MakeShape(
      context->input_xla_type(0), shape.dim_sizes());
  context->SetOutput(0, called(context, target, out, attributes));
}

class Robe : public XlaOpKernel {
 public:
  explicit Robe(OpKernelConstruction* context) : XlaOpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("output_dim", &output_dim_));
    int64_t block_size;
    OP_REQUIRES_OK(context, context->GetAttr("block_size", &block_size));
    attributes_ = absl::StrCat("{output_dim = ", output_dim_,
                               " : i64, block_size = ", block_size, " : i64}");
  }

 protected:
  int64_t output_dim_;
  std::string attributes_;
};

class RobeLookup : public Robe {
 public:
  using Robe::Robe;

  void Compile(XlaOpKernelContext* context) override {
    const int64_t splits = context->InputShape(4).num_elements();
    const int64_t rows =
        splits ? splits - 1 : context->InputShape(1).num_elements();
    call(context, "keras_pss_robe_lookup", TensorShape({rows, output_dim_}),
         attributes_);
  }
};

class RobeGradient : public Robe {
 public:
  explicit RobeGradient(OpKernelConstruction* context) : Robe(context) {
    OP_REQUIRES_OK(context, context->GetAttr("memory_size", &memory_size_));
  }

  void Compile(XlaOpKernelContext* context) override {
    call(context, "keras_pss_robe_gradient", TensorShape({memory_size_}),
         attributes_);
  }

 private:
  int64_t memory_size_;
};

std::string array(const std::vector<int64_t>& numbers) {
  return absl::StrCat("array<i64: ", absl::StrJoin(numbers, ", "), ">");
}

class PackedRobeLookup : public XlaOpKernel {
 public:
  explicit PackedRobeLookup(OpKernelConstruction* context)
      : XlaOpKernel(context) {
    std::vector<int64_t> layout;
    int64_t memory_size, block_size;
    OP_REQUIRES_OK(context, context->GetAttr("layout", &layout));
    OP_REQUIRES_OK(context, context->GetAttr("memory_size", &memory_size));
    OP_REQUIRES_OK(context, context->GetAttr("output_dim", &output_dim_));
    OP_REQUIRES_OK(context, context->GetAttr("block_size", &block_size));
    attributes_ = absl::StrCat(
        "{layout = ", array(layout), ", memory_size = ", memory_size,
        " : i64, output_dim = ", output_dim_,
        " : i64, block_size = ", block_size, " : i64}");
  }

  void Compile(XlaOpKernelContext* context) override {
    const int64_t splits = context->InputShape(5).num_elements();
    const int64_t rows =
        splits ? splits - 1 : context->InputShape(2).num_elements();
    const xla::Shape out = xla::ShapeUtil::MakeShape(
        context->input_xla_type(1), {rows, output_dim_});
    context->SetOutput(0, called(context, "keras_pss_packed_robe_lookup", out,
                                 attributes_));
  }

 private:
  int64_t output_dim_;
  std::string attributes_;
};

class TensorTrain : public XlaOpKernel {
 public:
  explicit TensorTrain(OpKernelConstruction* context) : XlaOpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("shapes", &shapes_));
    attributes_ = absl::StrCat("{shapes = ", array(shapes_), "}");
  }

 protected:
  std::vector<int64_t> shapes_;
  std::string attributes_;
};

class TensorTrainLookup : public TensorTrain {
 public:
  using TensorTrain::TensorTrain;

  void Compile(XlaOpKernelContext* context) override {
    lookup(context, "keras_pss_tensor_train_lookup");
  }

 protected:
  void lookup(XlaOpKernelContext* context, const std::string& target) {
    int64_t columns = 1;
    for (size_t j = 2; j < shapes_.size(); j += 4) columns *= shapes_[j];
    const xla::Shape out = xla::ShapeUtil::MakeShape(
        xla::F32, {context->InputShape(0).num_elements(), columns});
    context->SetOutput(0, called(context, target, out, attributes_));
  }
};

class PackedTensorTrainLookup : public TensorTrainLookup {
 public:
  explicit PackedTensorTrainLookup(OpKernelConstruction* context)
      : TensorTrainLookup(context) {
    std::vector<int64_t> layout;
    OP_REQUIRES_OK(context, context->GetAttr("layout", &layout));
    attributes_ = absl::StrCat("{layout = ", array(layout),
                               ", shapes = ", array(shapes_), "}");
  }

  void Compile(XlaOpKernelContext* context) override {
    lookup(context, "keras_pss_packed_tensor_train_lookup");
  }
};

class TensorTrainGradient : public TensorTrain {
 public:
  using TensorTrain::TensorTrain;

  void Compile(XlaOpKernelContext* context) override {
    std::vector<xla::Shape> shapes;
    for (int k = 0; k < context->num_outputs(); ++k) {
      shapes.push_back(xla::ShapeUtil::MakeShape(
          xla::F32, context->InputShape(2 + k).dim_sizes()));
    }
    const xla::XlaOp all =
        called(context, "keras_pss_tensor_train_gradient",
               xla::ShapeUtil::MakeTupleShape(shapes), attributes_);
    for (int k = 0; k < context->num_outputs(); ++k) {
      context->SetOutput(k, xla::GetTupleElement(all, k));
    }
  }
};

class DistinctIds : public XlaOpKernel {
 public:
  explicit DistinctIds(OpKernelConstruction* context) : XlaOpKernel(context) {
    int64_t sample;
    float most;
    OP_REQUIRES_OK(context, context->GetAttr("sample", &sample));
    OP_REQUIRES_OK(context, context->GetAttr("most", &most));
    OP_REQUIRES_OK(context, context->GetAttr("most_chunks", &most_chunks_));
    OP_REQUIRES_OK(context, context->GetAttr("least_rows", &least_rows_));
    attributes_ = absl::StrFormat("{sample = %d : i64, most = %.9e : f32}",
                                  sample, most);
  }

  void Compile(XlaOpKernelContext* context) override {
    const int64_t n = context->InputShape(0).num_elements();
    const Chunks chunks(n, most_chunks_, least_rows_);
    const xla::XlaOp all = called(
        context, "keras_pss_distinct_ids",
        xla::ShapeUtil::MakeTupleShape(
            {xla::ShapeUtil::MakeShape(context->input_xla_type(0),
                                       {chunks.count, chunks.rows}),
             xla::ShapeUtil::MakeShape(xla::S32, {n}),
             xla::ShapeUtil::MakeShape(xla::S32, {})}),
        attributes_);
    for (int k = 0; k < 3; ++k) {
      context->SetOutput(k, xla::GetTupleElement(all, k));
    }
  }

 private:
  int64_t most_chunks_, least_rows_;
  std::string attributes_;
};

class Pair : public XlaOpKernel {
 public:
  explicit Pair(OpKernelConstruction* context) : XlaOpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("terms", &terms_));
    attributes_ = absl::StrCat("{terms = ", terms_, " : i64}");
  }

 protected:
  int64_t terms_;
  std::string attributes_;
};

class PairSums : public Pair {
 public:
  using Pair::Pair;

  void Compile(XlaOpKernelContext* context) override {
    const xla::Shape out = xla::ShapeUtil::MakeShape(
        xla::F32, {context->InputShape(0).num_elements(),
                   context->InputShape(1).dim_size(1) / terms_});
    context->SetOutput(
        0, called(context, "keras_pss_pair_sums", out, attributes_));
  }
};

class PairSumsGradient : public Pair {
 public:
  using Pair::Pair;

  void Compile(XlaOpKernelContext* context) override {
    std::vector<xla::Shape> shapes;
    for (int k = 2; k < 4; ++k) {
      shapes.push_back(xla::ShapeUtil::MakeShape(
          xla::F32, context->InputShape(k).dim_sizes()));
    }
    const xla::XlaOp both =
        called(context, "keras_pss_pair_sums_gradient",
               xla::ShapeUtil::MakeTupleShape(shapes), attributes_);
    for (int k = 0; k < 2; ++k) {
      context->SetOutput(k, xla::GetTupleElement(both, k));
    }
  }
};

// Registers kernels of XLA's CPU device only: the calls are implemented for no
// other device. (REGISTER_XLA_OP would be too late for a library that is loaded
// after TensorFlow has started to compute.)
#define REGISTER(OP)                                           \
  REGISTER_KERNEL_BUILDER(                                     \
      Name("KerasPss>" #OP).Device(tensorflow::DEVICE_CPU_XLA_JIT), OP)
REGISTER(DistinctIds);
REGISTER(PairSums);
REGISTER(PairSumsGradient);
REGISTER(RobeLookup);
REGISTER(RobeGradient);
REGISTER(TensorTrainLookup);
REGISTER(TensorTrainGradient);
REGISTER(PackedRobeLookup);
REGISTER(PackedTensorTrainLookup);
#undef REGISTER

}  // namespace
}  // namespace keras_pss
