using LlavaSp.Checkpoints;

namespace LlavaSp.Tests.Checkpoints;

/// <summary>The zip container around a pickle: what is accepted, and what is refused by name.</summary>
public sealed class StoredZipTests : IDisposable
{
    private static readonly byte[] s_pickle = PickleBuilder.OneTensor("ByteStorage", 3, 0, [3], [1]);
    private static readonly byte[] s_data = [1, 2, 3];

    private readonly TemporaryFolder _folder = new();

    public void Dispose() => _folder.Dispose();

    [Theory]
    [InlineData(false, "")]
    [InlineData(true, "")]
    [InlineData(false, "a comment")]
    [InlineData(true, "a comment")]
    public void Reads_zip_and_zip64_with_and_without_comment(bool zip64, string comment)
    {
        byte[] zip = new ZipBuilder { Zip64 = zip64, Comment = comment }.AddTorch(s_pickle, s_data).Build();
        using PyTorchFile file = PyTorchFile.Open(_folder.Write("a.bin", zip));
        Assert.Equal(s_data, file.GetBytes("w").ToArray());
    }

    [Fact]
    public void Refuses_entries_that_cannot_be_mapped()
    {
        Refused(new ZipBuilder { Method = 8 }.AddTorch(s_pickle, s_data), "'archive/data.pkl' is compressed", "zip -0 -r");
        Refused(new ZipBuilder { Flags = 1 }.AddTorch(s_pickle, s_data), "'archive/data.pkl' is encrypted");
        foreach (bool zip64 in new[] { false, true })
        {
            Refused(new ZipBuilder { LengthError = 100_000, Zip64 = zip64 }.AddTorch(s_pickle, s_data), "'archive/data.pkl' reaches beyond the end");
            Refused(new ZipBuilder { PlaceError = 100_000, Zip64 = zip64 }.AddTorch(s_pickle, s_data), "'archive/data.pkl' begins beyond the end");
            Refused(new ZipBuilder { PlaceError = 1, Zip64 = zip64 }.AddTorch(s_pickle, s_data), "'archive/data.pkl'", "damaged");
        }
        Refused(new ZipBuilder().AddTorch(s_pickle, s_data).Add("archive/data/0", s_data), "'archive/data/0' is there twice");
    }

    [Fact]
    public void Refuses_what_is_not_a_checkpoint()
    {
        Refused(new ZipBuilder().Add("readme.txt", s_data), "without data.pkl");
        Refused(new ZipBuilder().AddTorch(s_pickle, s_data).Add("other/data.pkl", s_pickle), "more than one data.pkl", "'archive/'", "'other/'");
        CheckpointFiles.Refuses(() => PyTorchFile.Open(_folder.Write("a.bin", "hello, world")).Dispose(), "a.bin", "not a PyTorch checkpoint");
        CheckpointFiles.Refuses(() => PyTorchFile.Open(_folder.Write("a.bin", "P")).Dispose(), "a.bin", "not a PyTorch checkpoint");
    }

    [Theory]
    [InlineData("byteorder", "little", null)]
    [InlineData("byteorder", "big", "byte order 'big'")]
    [InlineData("byteorder", "none", "byte order 'none'")]
    [InlineData("version", "3\n", null)]
    [InlineData("version", "10", null)]
    [InlineData("version", "11", "format version '11'")]
    [InlineData("version", "-3", "format version '-3'")]
    [InlineData("version", "", "format version ''")]
    public void Looks_at_byte_order_and_version(string entry, string text, string? refusal)
    {
        ZipBuilder zip = new ZipBuilder().AddTorch(s_pickle, s_data).Add($"archive/{entry}", System.Text.Encoding.ASCII.GetBytes(text));
        if (refusal is not null)
        {
            Refused(zip, refusal);
            return;
        }
        using PyTorchFile file = PyTorchFile.Open(_folder.Write("a.bin", zip.Build()));
        Assert.Equal(s_data, file.GetBytes("w").ToArray());
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void Refuses_the_file_cut_at_every_byte(bool zip64)
    {
        byte[] zip = new ZipBuilder { Zip64 = zip64 }.AddTorch(s_pickle, s_data).Build();
        for (int length = 0; length < zip.Length; length++)
        {
            string path = _folder.Write("a.bin", zip.AsSpan(0, length));
            CheckpointFiles.Refuses(() => PyTorchFile.Open(path).Dispose(), path);
        }
    }

    private void Refused(ZipBuilder zip, params string[] parts)
    {
        string path = _folder.Write("a.bin", zip.Build());
        CheckpointFiles.Refuses(() => PyTorchFile.Open(path).Dispose(), [path, .. parts]);
    }
}
