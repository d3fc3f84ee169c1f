namespace LlavaSp.Worlds.Scenes;

/// <summary>What an object's outline is.</summary>
public enum Shape
{
    /// <summary>A circle.</summary>
    Circle,

    /// <summary>A square, sides about level.</summary>
    Square,

    /// <summary>A triangle, tip up.</summary>
    Triangle,

    /// <summary>A star of five points.</summary>
    Star,

    /// <summary>A rhombus, higher than wide.</summary>
    Diamond,

    /// <summary>A cross of two bars.</summary>
    Cross,

    /// <summary>A heart.</summary>
    Heart,

    /// <summary>A regular hexagon.</summary>
    Hexagon,
}

/// <summary>An object's colour by name.</summary>
public enum Colour
{
    /// <summary>Red.</summary>
    Red,

    /// <summary>Orange.</summary>
    Orange,

    /// <summary>Yellow.</summary>
    Yellow,

    /// <summary>Green.</summary>
    Green,

    /// <summary>Blue.</summary>
    Blue,

    /// <summary>Purple.</summary>
    Purple,

    /// <summary>White.</summary>
    White,

    /// <summary>Black.</summary>
    Black,
}

/// <summary>An object's size by name: every large one has more area than every small one.</summary>
public enum Size
{
    /// <summary>Small.</summary>
    Small,

    /// <summary>Large.</summary>
    Large,
}

/// <summary>How an object is filled.</summary>
public enum Texture
{
    /// <summary>One tone.</summary>
    Plain,

    /// <summary>Bars of two tones.</summary>
    Striped,

    /// <summary>Dots of a second tone.</summary>
    Dotted,
}

/// <summary>Which part of the world: none has a scene of another.</summary>
public enum Split
{
    /// <summary>To train on; without held-out combinations.</summary>
    Training,

    /// <summary>To choose by; without held-out combinations.</summary>
    Validation,

    /// <summary>To report; with held-out combinations.</summary>
    Test,
}
