using System;
using System.Collections.Generic;
using System.ComponentModel;
using System.Diagnostics;
using System.IO;
using System.IO.Compression;
using System.Linq;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using System.Threading;
using Microsoft.Build.Framework;
using Microsoft.Build.Utilities;

/// <summary>
/// Takes one file out of an npm package, checks it, and puts it in place in one step, so that it is either whole or not there.
/// Compiled by MSBuild when it is needed (see FetchFromNpm.targets), against .NET Standard 2.0: hence no System.Formats.Tar.
/// </summary>
public sealed class FetchFromNpm : Task
{
    [Required] public string Package { get; set; }
    [Required] public string Member { get; set; }
    [Required] public string Sha512 { get; set; }
    [Required] public string File { get; set; }

    /// <summary>What to do where npm is of no help; the end of every error.</summary>
    [Required] public string Otherwise { get; set; }

    public override bool Execute()
    {
        string folder = Path.GetDirectoryName(File);
        string work = Path.Combine(folder, Path.GetRandomFileName());
        try
        {
            Directory.CreateDirectory(folder);
            using (WaitForLock(File + ".lock"))
            {
                if (System.IO.File.Exists(File)) // another build was faster
                {
                    return true;
                }
                foreach (string left in Directory.GetDirectories(folder)) // by a build that was killed
                {
                    Directory.Delete(left, recursive: true);
                }
                Directory.CreateDirectory(work);
                Log.LogMessage(MessageImportance.High, "Fetching {0} from npm, once", Package);
                Pack(work);
                string unpacked = Path.Combine(work, "library");
                string sha512 = Unpack(Directory.GetFiles(work, "*.tgz").Single(), unpacked);
                if (sha512 != Sha512)
                {
                    throw new IOException($"{Member} in {Package} is not the file it should be (SHA-512 {sha512}); {Otherwise}");
                }
                System.IO.File.SetLastWriteTimeUtc(unpacked, DateTime.UtcNow);
                System.IO.File.Move(unpacked, File);
            }
            return true;
        }
        catch (Exception e) when (e is IOException || e is UnauthorizedAccessException || e is InvalidDataException || e is InvalidOperationException)
        {
            Log.LogError(e.Message.Replace('\n', ' '));
            return false;
        }
        finally
        {
            if (Directory.Exists(work))
            {
                Directory.Delete(work, recursive: true);
            }
        }
    }

    /// <summary>One build fetches, the others wait. The lock is the open file; it goes with the process, however that ends.</summary>
    static FileStream WaitForLock(string path)
    {
        for (var waited = Stopwatch.StartNew(); ; Thread.Sleep(200))
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None);
            }
            catch (IOException) when (waited.Elapsed < TimeSpan.FromMinutes(15))
            {
            }
        }
    }

    /// <summary>npm's own configuration says where packages come from. "pack" runs no script of a package from a registry.</summary>
    void Pack(string folder)
    {
        bool windows = RuntimeInformation.IsOSPlatform(OSPlatform.Windows);
        string arguments = $"pack {Package} --ignore-scripts --loglevel=error";
        var start = new ProcessStartInfo(windows ? "cmd.exe" : "npm", windows ? "/d /c npm " + arguments : arguments)
        {
            WorkingDirectory = folder,
            UseShellExecute = false,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        string missing = $"npm was not found: install npm, or {Otherwise}";
        try
        {
            using (var npm = Process.Start(start))
            {
                var errors = new List<string>();
                npm.ErrorDataReceived += (_, line) => errors.Add((line.Data ?? "").Replace("npm error", "").Trim());
                npm.BeginErrorReadLine();
                npm.StandardOutput.ReadToEnd();
                npm.WaitForExit();
                if (windows && npm.ExitCode == 9009 || errors.Any(line => line.Contains("'npm' is not recognized")))
                {
                    throw new IOException(missing);
                }
                if (npm.ExitCode != 0)
                {
                    string said = string.Join(", ", errors.Where(line => line != "" && !line.StartsWith("at ")).Take(4));
                    throw new IOException($"npm could not fetch {Package}: see to its connection, or {Otherwise}. It said: {said}");
                }
            }
        }
        catch (Win32Exception)
        {
            throw new IOException(missing);
        }
    }

    /// <summary>Writes the member and returns its SHA-512. A tar is headers of 512 bytes, each with its content after it, padded to 512.</summary>
    string Unpack(string tarball, string target)
    {
        using (var tar = new GZipStream(System.IO.File.OpenRead(tarball), CompressionMode.Decompress))
        {
            var block = new byte[512];
            while (Fill(tar, block, block.Length) && block[0] != 0)
            {
                string name = Field(block, 0, 100);
                long size = Convert.ToInt64(Field(block, 124, 12).Trim(), 8);
                bool wanted = name == Member;
                using (var output = wanted ? System.IO.File.Create(target) : Stream.Null)
                using (var hash = SHA512.Create())
                {
                    for (long left = size; left > 0; left -= block.Length)
                    {
                        if (!Fill(tar, block, block.Length))
                        {
                            throw new InvalidDataException($"{Package} from npm ends in the middle of {name}; {Otherwise}");
                        }
                        int used = (int)Math.Min(left, block.Length);
                        output.Write(block, 0, used);
                        if (wanted)
                        {
                            hash.TransformBlock(block, 0, used, null, 0);
                        }
                    }
                    if (wanted)
                    {
                        hash.TransformFinalBlock(block, 0, 0);
                        return string.Concat(hash.Hash.Select(value => value.ToString("x2")));
                    }
                }
            }
        }
        throw new InvalidDataException($"{Package} from npm has no {Member}; {Otherwise}");
    }

    static string Field(byte[] block, int start, int length) =>
        Encoding.ASCII.GetString(block, start, length).Split('\0')[0];

    static bool Fill(Stream stream, byte[] buffer, int count)
    {
        for (int done = 0; done < count;)
        {
            int read = stream.Read(buffer, done, count - done);
            if (read == 0)
            {
                return false;
            }
            done += read;
        }
        return true;
    }
}
