namespace OnnxLowRank.Samples;

/// <summary>
/// The user's calibration data cannot be used: unreadable, broken, not finite, or not fitting the model. The message is one
/// line that names the file or array and the two things that disagree; the command line ends with exit code 4.
/// </summary>
/// <param name="message">Control characters (array names come from files) are shown as '?', and what is beyond 1000 characters is cut.</param>
public sealed class DataException(string message, Exception? cause = null) : Exception(OneLine(message), cause)
{
    const int Longest = 1000;

    static string OneLine(string message)
    {
        string cut = message.Length <= Longest ? message : message[..Longest] + "…";
        return string.Create(cut.Length, cut, (line, from) =>
        {
            for (int i = 0; i < line.Length; i++)
            {
                line[i] = char.IsControl(from[i]) ? '?' : from[i];
            }
        });
    }
}
