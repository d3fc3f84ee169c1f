using CsCheck;
using LlavaSp.Text;

namespace LlavaSp.Tests.Text;

public class StopStringFilterTests
{
    private static readonly Gen<string> Letters = Gen.Char["ab#"].Array[0, 30].Select(c => new string(c));

    [Fact]
    public void AgreesWithASearchOfTheWholeText()
    {
        Gen<string[]> stops = Gen.Char["ab#"].Array[1, 5].Select(c => new string(c)).Array[0, 4];
        Gen.Select(Letters.Array[0, 8], stops).Sample((pieces, all) =>
        {
            string text = string.Concat(pieces);
            // first to be complete, then the longest
            var found = all.Select(s => (Stop: s, At: text.IndexOf(s, StringComparison.Ordinal))).Where(f => f.At >= 0)
                .OrderBy(f => f.At + f.Stop.Length).ThenBy(f => f.At).Cast<(string Stop, int At)?>().FirstOrDefault();
            var filter = new StopStringFilter(all);
            string passed = "";
            string fed = "";
            foreach (string piece in pieces)
            {
                passed += filter.Append(piece);
                fed += piece;
                if (filter.Found is not null) continue;
                int held = fed.Length - passed.Length;
                int longest = Enumerable.Range(0, fed.Length + 1)
                    .First(at => all.Any(s => s.StartsWith(fed[at..], StringComparison.Ordinal)) || at == fed.Length);
                Assert.Equal(fed.Length - longest, held);
            }
            passed += filter.Flush();
            Assert.Equal(found?.Stop, filter.Found);
            Assert.Equal(found is { } f ? text[..f.At] : text, passed);
        }, iter: 5000);
    }

    [Fact]
    public void HoldsBackOnlyWhatCouldBeAStopString()
    {
        var filter = new StopStringFilter(["###", "</s>"]);
        Assert.Equal("a", filter.Append("a##"));
        Assert.Equal("##b", filter.Append("b<"));
        Assert.Equal("<", filter.Append("<"));
        Assert.Null(filter.Found);
        Assert.Equal("", filter.Append("/s>rest"));
        Assert.Equal("</s>", filter.Found);
        Assert.Equal("", filter.Append("more") + filter.Flush());
    }

    [Fact]
    public void AnEmptyStopStringIsRefused() => Assert.Throws<LlavaSpException>(() => new StopStringFilter([""]));
}
