using CsCheck;
using LlavaSp.Imaging;
using LlavaSp.Worlds;
using LlavaSp.Worlds.Questions;
using LlavaSp.Worlds.Rendering;
using LlavaSp.Worlds.Scenes;
using Size = LlavaSp.Worlds.Scenes.Size;

namespace LlavaSp.Tests.Worlds;

public class WorldTests
{
    private static readonly Gen<(Split Split, int Index)> Any = Gen.Select(Gen.Int[0, 2].Select(i => (Split)i), Gen.Int[0, 100_000]);

    [Fact]
    public void TheSameIndexGivesTheSameSceneAndQuestions() => Any.Sample((split, index) =>
    {
        Scene first = World.Scene(split, index), again = World.Scene(split, index);
        Assert.Equal(first.Objects, again.Objects);
        Assert.Equal(SceneRenderer.Render(first).Pixels, SceneRenderer.Render(again).Pixels);
        Assert.Equal(World.Questions(split, index), World.Questions(split, index));
    }, iter: 50);

    [Fact]
    public void SplitsShareNoScene()
    {
        var seen = new HashSet<string>();
        foreach (Split split in Enum.GetValues<Split>())
        {
            for (int i = 0; i < 1000; i++) Assert.True(seen.Add(string.Join('|', World.Scene(split, i).Objects)));
        }
    }

    [Fact]
    public void HeldOutCombinationsAppearInTheTestSplitOnly()
    {
        Assert.All(Enumerable.Range(0, 2000), i =>
        {
            Split split = i % 2 == 0 ? Split.Training : Split.Validation;
            Assert.DoesNotContain(World.Scene(split, i).Objects, item => Combinations.IsHeldOut(item.Colour, item.Shape));
            Assert.DoesNotContain(World.Questions(split, i), question => question.InvolvesHeldOut);
        });
        Assert.Contains(Enumerable.Range(0, 200), i => World.Questions(Split.Test, i).Any(question => question.InvolvesHeldOut));
    }

    [Fact]
    public void EveryObjectIsMostlyVisibleAndHasItsColour() => Any.Sample((split, index) =>
    {
        Scene scene = World.Scene(split, index);
        RgbImage drawn = SceneRenderer.Render(scene);
        byte[] mask = IdMask.Draw(scene, SceneRenderer.DefaultSide);
        Assert.All(Visibility.Shares(scene, SceneRenderer.DefaultSide), share => Assert.True(share >= 0.75f));
        for (int i = 0; i < scene.Objects.Count; i++)
        {
            if (scene.Objects[i].Mark is not null || scene.Objects[i].Texture != Texture.Plain) continue;
            int[] pixels = [.. Enumerable.Range(0, mask.Length).Where(p => mask[p] == i + 1)];
            double Mean(int channel) => pixels.Average(p => drawn.Pixels[(3 * p) + channel]);
            Rgb tone = Palette.Main(scene.Objects[i].Colour);
            Assert.InRange(Math.Abs(Mean(0) - tone.R) + Math.Abs(Mean(1) - tone.G) + Math.Abs(Mean(2) - tone.B), 0, 150);
        }
    }, iter: 100);

    [Fact]
    public void CombinationsAreEquallyFrequent()
    {
        SceneObject[] objects = [.. Enumerable.Range(0, 4000).SelectMany(i => World.Scene(Split.Training, i).Objects)];
        double expected = objects.Length / 56.0;
        var counts = objects.GroupBy(item => (item.Colour, item.Shape)).ToList();
        Assert.Equal(56, counts.Count);
        Assert.All(counts, group => Assert.InRange(group.Count() / expected, 0.8, 1.2));
    }

    [Fact]
    public void MarksDoNotTellTheSize()
    {
        SceneObject[] objects = [.. Enumerable.Range(0, 4000).SelectMany(i => World.Scene(Split.Training, i).Objects)];
        double Marked(Size size) => objects.Where(item => item.Size == size).Average(item => item.Mark is null ? 0.0 : 1);
        Assert.InRange(Marked(Size.Large) - Marked(Size.Small), -0.03, 0.03);
    }

    /// <summary>Whatever their shapes, every large object covers more than every small one.</summary>
    [Fact]
    public void LargeIsLargerThanSmall()
    {
        SceneObject[] objects = [.. Enumerable.Range(0, 1000).SelectMany(i => World.Scene(Split.Test, i).Objects)];
        int Area(SceneObject item) => IdMask.Count(item, SceneRenderer.DefaultSide);
        Assert.True(objects.Where(item => item.Size == Size.Large).Min(Area) > 1.05 * objects.Where(item => item.Size == Size.Small).Max(Area));
    }
}
