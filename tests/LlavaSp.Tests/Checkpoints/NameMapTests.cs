using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>Names as they are published, by whom, and what they are here.</summary>
public sealed class NameMapTests
{
    [Theory]
    // LLaVA and LLaVA-SP.
    [InlineData("model.embed_tokens.weight", "model.embed_tokens.weight", "embedding")]
    [InlineData("model.layers.31.self_attn.q_proj.weight", "model.layers.31.self_attn.q_proj.weight", "decoder")]
    [InlineData("model.layers.0.post_attention_layernorm.weight", "model.layers.0.post_attention_layernorm.weight", "decoder")]
    [InlineData("model.norm.weight", "model.norm.weight", "decoder")]
    [InlineData("lm_head.weight", "lm_head.weight", "decoder")]
    [InlineData("model.mm_projector.0.weight", "mm_projector.0.weight", "projector")]
    [InlineData("model.mm_projector.2.bias", "mm_projector.2.bias", "projector")]
    [InlineData("model.mm_projector.weight", "mm_projector.weight", "projector")]
    [InlineData("model.image_newline", "image_newline", "projector")]
    [InlineData("model.conv_4.1.weight", "conv_4.1.weight", "spatial tokens")]
    [InlineData("model.conv_24.weight", "conv_24.weight", "spatial tokens")]
    [InlineData("model.conv_CM.weight", "conv_CM.weight", "spatial tokens")]
    [InlineData("model.conv_linear.1.bias", "conv_linear.1.bias", "spatial tokens")]
    [InlineData("model.query_projector.0.weight", "query_projector.0.weight", "spatial tokens")]
    [InlineData("model.vision_tower.vision_tower.vision_model.embeddings.class_embedding", "vision_model.embeddings.class_embedding", "vision tower")]
    [InlineData("model.vision_tower.vision_tower.vision_model.pre_layrnorm.weight", "vision_model.pre_layrnorm.weight", "vision tower")]
    // CLIP, whole and without its text model.
    [InlineData("vision_model.encoder.layers.0.mlp.fc1.weight", "vision_model.encoder.layers.0.mlp.fc1.weight", "vision tower")]
    // transformers, to 4.51.
    [InlineData("language_model.model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.up_proj.weight", "decoder")]
    [InlineData("language_model.model.embed_tokens.weight", "model.embed_tokens.weight", "embedding")]
    [InlineData("language_model.model.norm.weight", "model.norm.weight", "decoder")]
    [InlineData("language_model.lm_head.weight", "lm_head.weight", "decoder")]
    [InlineData("multi_modal_projector.linear_1.weight", "mm_projector.0.weight", "projector")]
    [InlineData("multi_modal_projector.linear_2.bias", "mm_projector.2.bias", "projector")]
    [InlineData("vision_tower.vision_model.encoder.layers.3.self_attn.k_proj.bias", "vision_model.encoder.layers.3.self_attn.k_proj.bias", "vision tower")]
    [InlineData("image_newline", "image_newline", "projector")]
    // transformers from 4.52.
    [InlineData("model.language_model.layers.7.input_layernorm.weight", "model.layers.7.input_layernorm.weight", "decoder")]
    [InlineData("model.language_model.embed_tokens.weight", "model.embed_tokens.weight", "embedding")]
    [InlineData("model.language_model.norm.weight", "model.norm.weight", "decoder")]
    [InlineData("model.multi_modal_projector.linear_2.weight", "mm_projector.2.weight", "projector")]
    [InlineData("model.vision_tower.vision_model.embeddings.patch_embedding.weight", "vision_model.embeddings.patch_embedding.weight", "vision tower")]
    // LoRA side files of upstream's training: with and without peft's wrapping, with the model's own.
    [InlineData("base_model.model.model.conv_CM.weight", "conv_CM.weight", "spatial tokens")]
    [InlineData("base_model.model.model.mm_projector.0.bias", "mm_projector.0.bias", "projector")]
    [InlineData("base_model.model.lm_head.weight", "lm_head.weight", "decoder")]
    [InlineData("model.model.conv_8.1.weight", "conv_8.1.weight", "spatial tokens")]
    [InlineData("base_model.model.model.layers.2.mlp.down_proj.weight", "model.layers.2.mlp.down_proj.weight", "decoder")]
    // A plain Llama without its wrapper.
    [InlineData("layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.v_proj.weight", "decoder")]
    [InlineData("embed_tokens.weight", "model.embed_tokens.weight", "embedding")]
    // What nobody knows.
    [InlineData("model.mystery.weight", "mystery.weight", "other")]
    [InlineData("", "", "other")]
    public void PublishedNamesAreCanonical(string published, string canonical, string stage)
    {
        Assert.Equal(canonical, NameMap.Canonical(published));
        Assert.Equal(stage, NameMap.Stage(canonical));
        // What this runtime writes is read back as it was.
        Assert.Equal(canonical, NameMap.Canonical(canonical));
        Assert.Equal(stage == "vision tower", NameMap.IsVision(canonical));
        Assert.False(NameMap.IsDerived(canonical) || NameMap.IsForeign(canonical));
    }

    [Theory]
    [InlineData("model.layers.0.self_attn.rotary_emb.inv_freq", true)]
    [InlineData("model.vision_tower.vision_tower.vision_model.embeddings.position_ids", true)]
    [InlineData("text_model.encoder.layers.0.mlp.fc1.weight", false)]
    [InlineData("text_projection.weight", false)]
    [InlineData("visual_projection.weight", false)]
    [InlineData("logit_scale", false)]
    public void WhatIsNotNeededIsKnown(string published, bool derived)
    {
        string canonical = NameMap.Canonical(published);
        Assert.Equal(derived, NameMap.IsDerived(canonical));
        Assert.Equal(!derived && !NameMap.IsDerived(canonical), NameMap.IsForeign(canonical));
    }
}
