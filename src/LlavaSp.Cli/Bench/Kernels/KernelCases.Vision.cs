using LlavaSp.Backends;
using LlavaSp.Backends.Cuda;
using LlavaSp.Checkpoints;
using LlavaSp.Graph;
using LlavaSp.Quantization;

namespace LlavaSp.Cli.Bench.Kernels;

/// <summary>From pixels to the rows of a picture.</summary>
internal sealed partial class KernelCases
{
    private const string Vision = "vision", Projector = "projector";

    // hidden_states[-2]: the last layer never runs.
    private int VisionLayers => _vision.Layers - 1;

    private int Patches => _vision.Grid * _vision.Grid;

    private void AddVision(WeightFormat[] formats, int batch)
    {
        int d = _vision.HiddenSize, rows = batch * (Patches + 1), layers = VisionLayers;
        AddPatchEmbedding(batch);
        AddNorm(Vision, centred: true, rows, d, batch, 2 * layers);
        Add(
            Vision, "vision_attention_64", Invariant($"{batch} x {Patches + 1} x {Patches + 1}, {_vision.Heads} heads of {d / _vision.Heads}"), "", batch,
            layers, 4.0 * rows * d * sizeof(ushort), backend =>
            {
                CudaTensor y = backend.CreateFilledTensor(rows, d, Precision.Operand), qkv = backend.CreateFilledTensor(rows, 3 * d, Precision.Operand);
                return (() => backend.FullAttention(y, qkv, batch, _vision.Heads), [y, qkv]);
            },
            4.0 * rows * (Patches + 1) * d, ArithmeticUnit.TensorF16);
        foreach (WeightFormat format in formats)
        {
            AddProduct(Vision, "q, k, v", new Linear(rows, 3 * d, d, format) { Bias = true }, batch, layers);
            AddProduct(Vision, "output", new Linear(rows, d, d, format) { Bias = true, To = Precision.Full, Residual = true }, batch, layers);
            AddProduct(Vision, "fc1", new Linear(rows, _vision.IntermediateSize, d, format) { Bias = true, Activation = _vision.Activation }, batch, layers);
            AddProduct(
                Vision, "fc2", new Linear(rows, d, _vision.IntermediateSize, format) { Bias = true, To = Precision.Full, Residual = true }, batch, layers);
        }

        AddRows(
            Vision, "copy_rows_f16_f32", Patches, d, (Precision.Operand, Precision.Full), batch, batch, static (backend, y, x) => backend.Copy(y, x), "select");
    }

    private void AddPatchEmbedding(int batch)
    {
        int d = _vision.HiddenSize, size = _vision.ImageSize, patch = _vision.PatchSize, rows = batch * (Patches + 1);
        int k = 3 * patch * patch, pixels = batch * 3 * size * size;
        double bytes = pixels + 768.0 * sizeof(float) + (double)d * k * sizeof(ushort) + (Patches + 1.0) * d * sizeof(float) + 3.0 * d * sizeof(float)
            + (double)rows * d * sizeof(float);
        Add(
            Vision, "patch_embedding_f16", Invariant($"embed {rows} x {d} x {k}"), "f16", batch, 1, bytes, backend =>
            {
                CudaWeight weight = backend.CreateEmptyWeight(d, k, WeightFormat.F16, int8Mma: false);
                CudaTensor y = backend.CreateFilledTensor(rows, d), positions = backend.CreateFilledTensor(Patches + 1, d);
                CudaTensor token = backend.CreateFilledTensor(1, d), norm = backend.CreateFilledTensor(1, d), bias = backend.CreateFilledTensor(1, d);
                var tiles = new TilePixels(batch, size, new byte[pixels], new float[768]);
                var weights = new PatchEmbeddingWeights(weight, token, positions, norm, bias, 1e-5f, patch, size);
                return (() => backend.PatchEmbedding(y, tiles, weights), [weight, y, positions, token, norm, bias]);
            },
            2.0 * batch * Patches * d * k, ArithmeticUnit.TensorF16);
    }

    private void AddProjector(WeightFormat[] formats, int batch)
    {
        int hidden = _decoder.HiddenSize, rows = batch * Patches;
        foreach (WeightFormat format in formats)
        {
            AddProduct(Projector, "first", new Linear(rows, hidden, _vision.HiddenSize, format) { Bias = true, Activation = Activation.Gelu }, batch, 1);
            AddProduct(Projector, "second", new Linear(rows, hidden, hidden, format) { Bias = true, To = Precision.Full }, batch, 1);
        }
    }

    private void AddSpatialTokens(WeightPlan[] plans, int batch)
    {
        int width = _spatial.Width, tokens = batch * _spatial.Tokens;
        foreach (SpatialMode mode in Enum.GetValues<SpatialMode>())
        {
            string stage = Stage(mode);
            foreach (WeightFormat format in Distinct(plans, static plan => plan.Spatial)) AddConvolutions(stage, mode, format, batch);
            int columns = mode == SpatialMode.Cropping ? 2 * width : width;
            if (mode == SpatialMode.Cropping) AddFusion(stage, plans, batch);
            foreach (WeightFormat format in Distinct(plans, static plan => plan.Vision))
            {
                AddProduct(
                    stage, "GELU, conv_linear",
                    new Linear(tokens, _decoder.HiddenSize, columns, format)
                    {
                        SourceActivation = Activation.Gelu,
                        Bias = mode == SpatialMode.Cropping,
                        To = Precision.Full,
                    },
                    batch, 1);
            }
        }
    }

    private void AddConvolutions(string stage, SpatialMode mode, WeightFormat format, int batch)
    {
        int d = _vision.HiddenSize, grid = _vision.Grid, width = _spatial.Width, tokens = batch * _spatial.Tokens;
        int[] sizes = _spatial.KernelSizes;
        double y = (double)tokens * width * sizeof(float), elements = sizes.Sum(k => (double)k * k * d * width);
        double bytes = sizes.Sum(k => (double)width * format.RowBytes((long)k * k * d)) + (double)batch * Patches * d * sizeof(ushort) + y;
        string shape = Invariant($"{batch} x {_spatial.Tokens} convolutions, width {width}");
        (Action, IDisposable?[]) Build(CudaBackend backend)
        {
            CudaTensor to = backend.CreateFilledTensor(tokens, width), features = backend.CreateFilledTensor(batch * Patches, d, Precision.Operand);
            SpatialConvolution[] convolutions =
            [
                .. sizes.Select(k => new SpatialConvolution(k, backend.CreateEmptyWeight(width, (long)k * k * d, format, format.Kind == WeightKind.Int8))),
            ];
            return (() => backend.SpatialTokens(to, features, batch, mode, convolutions, null), [to, features, .. convolutions.Select(static c => c.Kernel)]);
        }

        Add(stage, $"spatial_tokens_{Layout(format)}", shape, format.ToString(), batch, 1, bytes, Build, 2 * elements * batch, ArithmeticUnit.TensorF16);
        // The same for every format, as the pieces are.
        if (!_cases.Exists(known => known.Stage == stage && known.Kernel == "spatial_tokens_sum" && known.Batch == batch))
            Add(stage, "spatial_tokens_sum", Invariant($"sum {tokens} x {width}"), "", batch, 1, 2 * y, Build);
    }

    private void AddFusion(string stage, WeightPlan[] plans, int batch)
    {
        int d = _vision.HiddenSize, width = _spatial.Width, tokens = batch * _spatial.Tokens, kernel = _spatial.FusionKernelSize;
        var size = new FusionSize(batch, _spatial.Tokens, _vision.Grid, d, kernel, SpatialConfig.FusionStride, width);
        int positions = size.AllPositions;
        long columns = (long)kernel * kernel * d;
        (Action, IDisposable?[]) Build(CudaBackend backend, WeightFormat format)
        {
            CudaTensor y = backend.CreateFilledTensor(tokens, 2 * width), t = backend.CreateFilledTensor(tokens, width);
            CudaTensor features = backend.CreateFilledTensor(batch * Patches, d, Precision.Operand), vector = backend.CreateFilledTensor(1, width);
            CudaWeight conv = backend.CreateEmptyWeight(width, columns, format, format.Kind == WeightKind.Int8);
            CudaWeight linear = backend.CreateEmptyWeight(width, width, WeightFormat.F16, int8Mma: false);
            var projection = new NormLinear(vector, vector, linear, vector);
            var weights = new DetailFusionWeights(kernel, SpatialConfig.FusionStride, conv, projection, projection, projection, 1e-5f);
            return (() => backend.DetailFusion(y, t, features, batch, weights, null), [y, t, features, vector, conv, linear]);
        }

        foreach (WeightFormat format in Distinct(plans, static plan => plan.Spatial))
        {
            long weightBytes = CudaWeight.PackedBytes(width, columns, format.Kind) + CudaWeight.ScaleBytes(width, columns, format);
            FusionKernels.Plan plan = FusionKernels.Plan.For(size, weightBytes, _multiprocessors);
            string name = plan.Cells ? $"cells{plan.Columns}" : "columns";
            Add(
                stage, $"fusion_conv_{name}_{Layout(format)}", Invariant($"conv_CM {positions} x {width} x {columns}"), format.ToString(), batch, 1,
                width * format.RowBytes(columns) + (double)batch * Patches * d * sizeof(ushort) + (double)positions * width * sizeof(float),
                backend => Build(backend, format), 2.0 * positions * width * columns, ArithmeticUnit.TensorF16);
        }

        double row = width * sizeof(float);
        Add(
            stage, "fusion_normalise", Invariant($"normalise {positions + tokens} x {width}"), "", batch, 1, positions * 2 * row + tokens * 2.5 * row,
            backend => Build(backend, WeightFormat.Int4()));
        foreach (WeightFormat format in Distinct(plans, static plan => plan.Vision))
        {
            AddProduct(stage, "query", new Linear(tokens, width, width, format) { Bias = true, To = Precision.Full }, batch, 1);
            AddProduct(stage, "key, value", new Linear(positions, width, width, format) { Bias = true, To = Precision.Full }, batch, 2);
        }

        Add(
            stage, "fusion_attention", Invariant($"{tokens} x {size.Positions}, width {width}"), "", batch, 1, 2 * (tokens + positions) * row,
            backend => Build(backend, WeightFormat.Int4()), 4.0 * tokens * size.Positions * width);
    }

    private static string Stage(SpatialMode mode) => mode == SpatialMode.Pooling ? "spatial tokens, pooling" : "spatial tokens, cropping";

    private static string Layout(WeightFormat format) => format.Kind == WeightKind.Int8 ? "int8mma" : format.Kind.ToString().ToLowerInvariant();
}
