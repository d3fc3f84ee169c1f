namespace LlavaSp;

/// <summary>
/// Wrong input, or a machine that cannot do what was asked. The message is one line: what is wrong, where, and what to do.
/// The command line prints it and exits with code 2; every other exception is a defect of this library.
/// </summary>
public class LlavaSpException : Exception
{
    /// <summary>Creates the exception with its one-line message.</summary>
    public LlavaSpException(string message) : base(message) { }

    /// <summary>Creates the exception with its one-line message and the exception that caused it.</summary>
    public LlavaSpException(string message, Exception innerException) : base(message, innerException) { }
}

/// <summary>A checkpoint file that is damaged, hostile, incomplete, or does not fit its config.</summary>
public sealed class CheckpointException : LlavaSpException
{
    /// <inheritdoc/>
    public CheckpointException(string message) : base(message) { }

    /// <inheritdoc/>
    public CheckpointException(string message, Exception innerException) : base(message, innerException) { }
}

/// <summary>A picture that cannot be decoded or is larger than the limits allow.</summary>
public sealed class ImageException : LlavaSpException
{
    /// <inheritdoc/>
    public ImageException(string message) : base(message) { }

    /// <inheritdoc/>
    public ImageException(string message, Exception innerException) : base(message, innerException) { }
}

/// <summary>A prompt that does not fit its pictures, the vocabulary or the context length.</summary>
public sealed class PromptException : LlavaSpException
{
    /// <inheritdoc/>
    public PromptException(string message) : base(message) { }
}

/// <summary>A device, instruction set or native library that was asked for and is not there.</summary>
public sealed class DeviceException : LlavaSpException
{
    /// <summary>Whether the device has no memory left for what was asked of it.</summary>
    public bool IsOutOfMemory { get; init; }

    /// <inheritdoc/>
    public DeviceException(string message) : base(message) { }

    /// <inheritdoc/>
    public DeviceException(string message, Exception innerException) : base(message, innerException) { }
}
