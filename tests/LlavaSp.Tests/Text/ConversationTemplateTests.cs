using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

/// <summary>What the goldens do not hold: templates other than theirs, stop strings, the choice by name, questions with pictures.</summary>
public class ConversationTemplateTests
{
    [Theory]
    [InlineData("mistral_instruct", "[INST] Q1 [/INST] A1 </s>[INST] Q2 [/INST]")]
    [InlineData("chatml_direct",
        "<|im_start|>system\nAnswer the questions.<|im_end|><|im_start|>user\nQ1<|im_end|>"
        + "<|im_start|>assistant\nA1<|im_end|><|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n")]
    [InlineData("mpt",
        "<|im_start|>system\nA conversation between a user and an LLM-based AI assistant. The assistant gives helpful and honest answers."
        + "<|im_end|><|im_start|>user\nQ1<|im_end|><|im_start|>assistant\nA1<|im_end|>"
        + "<|im_start|>user\nQ2<|im_end|><|im_start|>assistant\n")]
    [InlineData("llava_llama_2",
        "[INST] <<SYS>>\nYou are a helpful language and vision assistant. You are able to understand the visual content that the user "
        + "provides, and assist the user with a variety of tasks using natural language.\n<</SYS>>\n\n"
        + "Q1 [/INST] A1 </s><s>[INST] Q2 [/INST]")]
    public void TurnsAreJoinedAsUpstreamDoes(string name, string prompt)
    {
        Assert.Equal(prompt, ConversationTemplate.Get(name).BuildPrompt(["Q1", "A1", "Q2", null]));
        Assert.Equal(prompt, ConversationTemplate.Get(name).BuildPrompt(["Q1", "A1", "Q2", ""]));
    }

    [Theory]
    [InlineData("llava_v0", "###")]
    [InlineData("vicuna_v1", "</s>")]
    [InlineData("llava_llama_2", "</s>")]
    [InlineData("mistral_instruct", "</s>")]
    [InlineData("mpt", "<|im_end|>")]
    [InlineData("plain", null)]
    public void EachTemplateKnowsWhereAnAnswerEnds(string name, string? stop) =>
        Assert.Equal(stop is null ? [] : [stop], ConversationTemplate.Get(name).StopStrings);

    [Theory]
    [InlineData("llava-llama-2-7b-v1", "llava_llama_2")]
    [InlineData("llava-v1.6-Mistral-7b", "mistral_instruct")]
    [InlineData("llava-v1.6-34b", "chatml_direct")]
    [InlineData("llava-v1.5-7b", "llava_v1")]
    [InlineData("llava-mpt-7b", "mpt")]
    [InlineData("LLaVA-SP-Cropping-7b", "llava_v0")]
    public void TheModelsNameChoosesAsInRunLlava(string name, string template)
    {
        TemplateChoice choice = ConversationTemplate.ForModelName(name);
        Assert.Equal(template, choice.Template.Name);
        Assert.Contains(name, choice.Reason, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("/models/llava-v1.5-7b/", "llava-v1.5-7b")]
    [InlineData("runs/llava-lora/checkpoint-200", "llava-lora_checkpoint-200")]
    [InlineData("checkpoint-200", "checkpoint-200")]
    [InlineData("/", "")]
    public void TheNameIsTheEndOfThePath(string path, string name) => Assert.Equal(name, ConversationTemplate.ModelName(path));

    [Fact]
    public void AliasesNameTheSameTemplate()
    {
        Assert.Same(ConversationTemplate.Get("vicuna_v1"), ConversationTemplate.Get("v1"));
        Assert.Same(ConversationTemplate.Get("chatml_direct"), ConversationTemplate.Get("mistral_direct"));
        Assert.All(ConversationTemplate.Names, name => Assert.NotEmpty(ConversationTemplate.Get(name).BuildPrompt(["Q", null])));
    }

    [Fact]
    public void WhatCannotBeWrittenIsSaid()
    {
        var unknown = Assert.Throws<LlavaSpException>(() => ConversationTemplate.Get("nonsense"));
        Assert.All(ConversationTemplate.Names, name => Assert.Contains(name, unknown.Message, StringComparison.Ordinal));
        Assert.Throws<PromptException>(() => ConversationTemplate.Get("llama_2").BuildPrompt([null]));
        Assert.Throws<PromptException>(() => ConversationTemplate.Get("llama_2").BuildPrompt([]));
        Assert.Throws<PromptException>(() => ConversationTemplate.Get("plain").BuildPrompt(["Q", "A", "Q", null]));
    }

    [Fact]
    public void PicturesGoInFrontOrWhereTheQuestionSays()
    {
        Assert.Equal("<image>\nWhat?", ImageToken.AddTo("What?"));
        Assert.Equal("<image>\n<image>\nWhat?", ImageToken.AddTo("What?", 2));
        Assert.Equal("What?", ImageToken.AddTo("What?", 0));
        Assert.Equal("<im_start><image><im_end>\nWhat?", ImageToken.AddTo("What?", useStartEnd: true));
        Assert.Equal("Is <image> like <image>?", ImageToken.AddTo("Is <image-placeholder> like <image-placeholder>?", 2));
        Assert.Equal(2, ImageToken.Count("<image><image>"));
        Assert.Equal(2, ImageToken.Count([1, -200, 5, -200]));
    }
}
